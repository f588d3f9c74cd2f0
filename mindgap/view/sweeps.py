"""What a view says of sweeps: which there are, how far each is, and its page as it would be now."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mindgap.core.errors import MindgapError
from mindgap.results.files import METRICS_FILE
from mindgap.results.planned import PLANNED_FILE, read_planned
from mindgap.results.sweep import NoSweepError, SweepResults, read_sweep
from mindgap.study.claims import at_work
from mindgap.study.names import began_at


@dataclass(frozen=True)
class State:
    """How far a sweep is.

    Attributes:
        name: Its folder's name.
        done: Cells with a result.
        planned: Cells there are to be; those that are there where nobody planned.
        running: Whether something still works on it.
        version: Changes when a cell's result does; empty while there is none.
        changed: When that was, for people.
    """

    name: str
    done: int
    planned: int
    running: bool
    version: str
    changed: str

    def fields(self) -> dict[str, Any]:
        """For the page."""
        return {**self.__dict__, "says": self.says}

    @property
    def says(self) -> str:
        """For people."""
        if self.running:
            return f"running: {self.done} of {self.planned} cells"
        if self.done < self.planned:
            return f"stopped: {self.done} of {self.planned} cells; the same command goes on"
        return f"finished: {self.done} {'cell' if self.done == 1 else 'cells'}"


class Sweeps:
    """The sweeps of a folder, or one sweep. Nothing is written.

    Args:
        folder: A sweep's, or one that holds sweeps.

    Raises:
        NoSweepError: It is neither.
    """

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()
        if not folder.is_dir():
            read_sweep(folder)  # which says what there is instead
        self._one = folder if _is_sweep(folder) else None
        self._parent = folder.parent if self._one else folder
        self._pages: dict[str, tuple[str, bytes]] = {}
        self._at_work = threading.Lock()
        if not self.folders:
            raise NoSweepError(f"{folder} is no sweep and holds none")

    @property
    def only(self) -> str | None:
        """Name of the one sweep that was asked for; None where a folder of sweeps was."""
        return self._one.name if self._one else None

    @property
    def folders(self) -> Mapping[str, Path]:
        """Folders of the sweeps by name, the newest first; sweeps that begin later are there as well."""
        if self._one is not None:
            return {self._one.name: self._one}
        found = [path for path in self._parent.iterdir() if path.is_dir() and _is_sweep(path)]
        return {path.name: path for path in sorted(found, key=_changed, reverse=True)}

    def state(self, name: str) -> State:
        """How far the sweep of that name is. Raises KeyError where there is none."""
        folder = self.folders[name]
        written = {path.parent.name: path.stat().st_mtime_ns for path in folder.glob(f"*/{METRICS_FILE}")}
        planned = {cell.name for cell in read_planned(folder)} | written.keys()
        running = bool(at_work(folder)) or began_at(folder) is not None
        version = f"{len(written)}-{max(written.values())}" if written else ""
        at = datetime.fromtimestamp(_changed(folder)).strftime("%Y-%m-%d %H:%M:%S")
        return State(name, len(written), len(planned), running, version, at)

    def page(self, name: str) -> bytes:
        """The report of the sweep as it is now, made anew when a cell was finished.

        Raises:
            KeyError: There is no sweep of that name.
            MindgapError: There is nothing to report yet.
        """
        version = self.state(name).version
        with self._at_work:  # one at a time: each takes seconds
            known = self._pages.get(name)
            if known is None or known[0] != version:
                known = version, _page(read_sweep(self.folders[name]))
                self._pages[name] = known
        return known[1]


def _page(sweep: SweepResults) -> bytes:
    from mindgap.analysis.whole import compare_sweep
    from mindgap.report.page import render
    from mindgap.report.write import MAX_SAMPLES

    if not any(cell.status == "finished" for cell in sweep.cells):
        raise MindgapError("no cell has finished yet")
    return render(sweep, compare_sweep(sweep).groups, max_samples=MAX_SAMPLES).encode()


def _is_sweep(folder: Path) -> bool:
    return (folder / PLANNED_FILE).is_file() or next(folder.glob(f"*/{METRICS_FILE}"), None) is not None


def _changed(folder: Path) -> float:
    paths = [folder / PLANNED_FILE, *folder.glob(f"*/{METRICS_FILE}")]
    return max((path.stat().st_mtime for path in paths if path.is_file()), default=folder.stat().st_mtime)
