"""A progress bar on a terminal, a line every tenth elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Told how much is done, and a word on how it goes."""

    def __call__(self, done: int, word: str = "") -> None: ...


UNTOLD = 200_000
"""Taken for the whole where nobody knows how much that is."""


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Advance]:
    """Shows `what` while the block runs. total: how much there is to do; None = not known."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_terminal:
        columns = [
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[word]}"),
        ]
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total, word="")
            yield lambda done, word="": bar.update(task, completed=done, word=word)
        return
    tenths_told = 0

    def tell(done: int, word: str = "") -> None:
        nonlocal tenths_told
        step = max(1, (total or UNTOLD) // 10)
        if done // step > tenths_told:
            tenths_told = done // step
            sys.stderr.write(f"{what}: {done}{f' of {total}' if total else ''} {word}\n")

    sys.stderr.write(f"{what}\n")
    yield tell
