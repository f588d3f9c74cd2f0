"""Writes a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".*.[0-9]*.tmp"
"""Pattern of the names that files have until they are complete; a killed process leaves some."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file that is replaced once its new content is complete.

    Args:
        path: The file.

    Yields:
        A path beside it to write to. It is renamed to `path` when the block ends, and removed if the block fails.

    Raises:
        OSError: With the file's name, where the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # writing to an open file says no name, and the temporary one says little
        raise
    finally:
        with suppress(OSError):  # a disk that became read-only says so above
            temporary.unlink()
