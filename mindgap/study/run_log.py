"""A cell's own log, without secrets; warnings of ours are shown to the person as well."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from mindgap.core.characters import printable
from mindgap.core.secrets import mask_text

LOG = "run.log"
"""File in a cell's folder."""


class Masking(logging.Formatter):
    """Log lines without secrets and without what a terminal would obey, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(mask_text(super().format(record)))


class _Log(logging.FileHandler):
    """A log that a full disk cuts off; the study's own files say what is the matter."""

    def handleError(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`, which would print a traceback for every line."""


@contextmanager
def logging_to(path: Path, console: Console) -> Iterator[None]:
    """While the block runs, log to `path`, and warnings of ours to the console as well."""
    to_file = _Log(path, encoding="utf-8")
    to_file.setFormatter(Masking("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_person = RichHandler(logging.WARNING, console, show_time=False, show_path=False)
    to_person.setFormatter(Masking("%(message)s"))
    root, ours = logging.getLogger(), logging.getLogger("mindgap")
    previous = root.level
    root.setLevel(logging.INFO)
    root.addHandler(to_file)
    ours.addHandler(to_person)
    try:
        yield
    finally:
        root.setLevel(previous)
        root.removeHandler(to_file)
        ours.removeHandler(to_person)
        to_file.close()
