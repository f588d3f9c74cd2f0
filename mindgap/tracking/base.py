"""What a tracker is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mindgap.analysis.whole import SweepComparison
from mindgap.results.cell import CellResult


class Tracker(Protocol):
    """A tracker's settings and its verbs (`conf/tracker/*.yaml`)."""

    def log(self, result: CellResult) -> str | None:
        """Copy a finished or failed cell to the tracker.

        Returns one line for a person: where the copy is, or why there is none; None if none was asked for. Never
        raises because of the tracker's own trouble: the cell is already in its files.
        """

    def log_sweep(self, comparison: SweepComparison) -> str | None:
        """Copy the comparison of a sweep's cells to the tracker.

        Returns and raises as `log` does. A sweep that is logged again replaces its copy.
        """


@dataclass(frozen=True)
class NoTracker:
    """`tracker=none`: files only."""

    def log(self, result: CellResult) -> str | None:
        """See `Tracker.log`."""
        return None

    def log_sweep(self, comparison: SweepComparison) -> str | None:
        """See `Tracker.log_sweep`."""
        return None
