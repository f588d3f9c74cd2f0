"""Jobs that a launcher runs elsewhere: what their files say of them is told here, and a sweep waits for all of them."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from mindgap.core.wording import plural
from mindgap.results.files import METRICS_FILE, read_cell
from mindgap.study import progress, terminal
from mindgap.study.claims import CLAIM
from mindgap.study.names import CellName
from mindgap.study.run_log import LOG

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the files."""
SHOWN = 4
"""Cells at work of which a line tells how far they are; of a hundred jobs nobody reads more."""


class Telling:
    """While the block runs, prints a line for each cell that its job has finished, and now and then who is how far.

    Args:
        folder: The sweep's.
        names: Its cells.
        console: Where to.
    """

    def __init__(self, folder: Path, names: Sequence[CellName], console: Console) -> None:
        self._folder, self._names, self._console = folder, names, console
        self._before = {name.folder: _written_at(folder / name.folder) for name in names}
        self._told: set[str] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True, name="telling of jobs")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell what was not told yet, and no more."""
        self._end.set()
        self._thread.join()
        self._finished()

    def _tell(self) -> None:
        told = time.monotonic()
        while not self._end.wait(LOOK_EVERY):
            self._finished()
            if time.monotonic() - told >= progress.LINE_EVERY:
                told = time.monotonic()
                self._how_far()

    def _finished(self) -> None:
        """A line for each cell that has a new result."""
        for name in self._names:
            if name.folder in self._told:
                continue
            cell = self._folder / name.folder
            try:
                if _written_at(cell) in (None, self._before[name.folder]):
                    continue
                result = read_cell(cell, samples="never")
            except FileNotFoundError:  # it is just being written anew
                continue
            self._told.add(name.folder)
            terminal.print_cell(self._console, result, replace(name, number=len(self._told)))

    def _how_far(self) -> None:
        """How many jobs are at work, and the last line of some of their logs."""
        at_work = [
            name
            for name in self._names
            if name.folder not in self._told and (self._folder / name.folder / CLAIM).exists()
        ]
        if not at_work:
            return
        more = f", of which {SHOWN}:" if len(at_work) > SHOWN else ":"
        lines = [f"at work on {plural(len(at_work), 'cell')}, {len(self._told)} of {len(self._names)} done{more}"]
        for name in at_work[:SHOWN]:
            stage = _last_stage(self._folder / name.folder / LOG)
            lines.append(f"        {name.title}{f'  {stage}' if stage else ''}")
        for line in lines:
            self._console.print(line, markup=False, soft_wrap=True)


def wait_for_the_others(error: BaseException, console: Console) -> None:
    """Wait for the jobs that still run after submitit's launcher has given up, which it does at the first that died."""
    jobs = [
        job
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith("hydra_plugins.hydra_submitit_launcher")
        for job in frame.f_locals.get("jobs", ())
    ]
    if left := [job for job in jobs if not job.done()]:
        console.print(f"The job of one cell has died; waiting for {plural(len(left), 'other')}.", markup=False)
    for job in left:
        job.wait()


def _written_at(cell_folder: Path) -> int | None:
    """When the result of a cell was written; None where there is none."""
    try:
        return (cell_folder / METRICS_FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _last_stage(path: Path) -> str | None:
    """The last line of a cell's log that says how far it is."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    marked = f" {progress.__name__}: "
    return next((line.partition(marked)[2] for line in reversed(lines) if marked in line), None)
