"""Shows a person how far a cell is: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from mindgap.core.wording import duration

log = logging.getLogger(__name__)

LINE_EVERY = 15.0
"""Seconds between two lines where no terminal shows a bar: in a file, in CI, behind a pipe."""


class Done(Protocol):
    """Reports one finished thing: its key, whether the store knew it, how many tokens it took, and what it cost."""

    def __call__(self, key: str, known: bool, tokens: int = 0, usd: float | None = None) -> None: ...


class Progress:
    """Shows the stages of a cell on `console` if that is a terminal; counts what was made and what was known.

    Attributes:
        counts: How many things were `made`, and how many `cached`: known from before.
        made: Keys of what was made.
        source: Who answers; None until that is known.
        usd: What all that was reported has cost when it was made, in US dollars; None where no cost is known.
    """

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self.counts: dict[str, int] = {}
        self.made: set[str] = set()
        self.source: str | None = None
        self.usd: float | None = None

    @contextmanager
    def stage(self, what: str) -> Iterator[Callable[[str], None]]:
        """A stage of unknown length; yields the function to call, with what to show, for each thing that is done."""
        log.info("%s", what)
        with self._bar(what, None) as advance:
            yield advance

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Done]:
        """A stage of `total` things; yields the function to call for each. Adds to `counts` `made` and `cached`."""
        began = time.monotonic()
        made_tokens = cached = 0
        log.info("%s: %d", what, total)
        with self._bar(what, total) as advance:

            def done(key: str, known: bool, tokens: int = 0, usd: float | None = None) -> None:
                nonlocal made_tokens, cached
                cached += known
                made_tokens += 0 if known else tokens
                if not known:
                    self.made.add(key)
                kind = "cached" if known else "made"
                self.counts[kind] = self.counts.get(kind, 0) + 1
                if usd is not None:
                    self.usd = (self.usd or 0.0) + usd
                speed = f"{made_tokens / max(time.monotonic() - began, 1e-9):.0f} tokens/s" if made_tokens else ""
                advance("  ".join(part for part in (speed, f"{cached} cached" if cached else "") if part))

            yield done

    @contextmanager
    def watching(self, what: str, total: int) -> Iterator[Callable[[str], None]]:
        """A stage of `total` things that are no answers of their own: shown, not added to `counts`."""
        log.info("%s: %d", what, total)
        with self._bar(what, total) as advance:
            yield advance

    @contextmanager
    def _bar(self, what: str, total: int | None) -> Iterator[Callable[[str], None]]:
        if not self._console.is_terminal:
            yield self._lines(what, total)
            return
        counted = [MofNCompleteColumn(), TimeRemainingColumn()] if total is not None else []
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            *counted,
            TextColumn("{task.fields[detail]}"),
        ]
        with Bar(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(escape(f"{self._name}  {what}"), total=total, detail="")
            yield lambda detail: bar.update(task, advance=1, detail=detail)

    def _lines(self, what: str, total: int | None) -> Callable[[str], None]:
        """What a stage is told of each thing that is done."""
        done, told = 0, time.monotonic()
        began = told

        def advance(detail: str) -> None:
            nonlocal done, told
            done += 1
            if time.monotonic() - told >= LINE_EVERY:
                told = time.monotonic()
                left = f"  {duration((told - began) / done * (total - done))} left" if total and done < total else ""
                of = f"/{total}" if total else ""
                line = f"{what}  {done}{of}  {detail}{left}"
                self._console.print(f"{self._name}  {line}", markup=False, soft_wrap=True)
                log.info("%s", line)  # a job that a launcher runs elsewhere has no other reader

        return advance
