"""What a tracker is: it receives a copy of each cell and of the sweep's comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mindgap.analysis.whole import SweepComparison
    from mindgap.results.cell import CellResult


class Tracker(Protocol):
    """A tracker's settings and its verbs (`conf/tracker/*.yaml`)."""

    def log(self, result: CellResult) -> str | None:
        """Copy a finished or failed cell to the tracker.

        Never raises because of the tracker's own trouble: the cell is already in its files.

        Returns:
            One line for a person: where the copy is, or why there is none; None if none was asked for.
        """

    def log_sweep(self, comparison: SweepComparison) -> str | None:
        """Copy the comparison of a sweep's cells to the tracker; a sweep that is logged again replaces its copy.

        Returns:
            As `log` does.
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
