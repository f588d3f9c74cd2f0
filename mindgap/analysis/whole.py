"""The whole comparison of a sweep, computed once: what page, tables, trackers and `comparison.json` are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mindgap.analysis.comparison import GroupComparison
from mindgap.analysis.compute import compare
from mindgap.analysis.judges import judges_compared
from mindgap.analysis.people import anchor
from mindgap.results.judgements import read_judgements
from mindgap.results.rating_plan import read_plan
from mindgap.results.sweep import SweepResults


@dataclass(frozen=True)
class SweepComparison:
    """A sweep and all that is said of it.

    Attributes:
        sweep: The cells, as they were read.
        groups: The comparison of each group of cells that may be compared, in the sweep's order.
    """

    sweep: SweepResults
    groups: tuple[GroupComparison, ...]


def compare_sweep(sweep: SweepResults) -> SweepComparison:
    """Compare the cells of each group, the judges that scored them, and people's ratings with both.

    Raises:
        MindgapError: The samples allow no comparison.
    """
    judgements, plan = read_judgements(sweep), read_plan(sweep.folder)
    groups = []
    for group in sweep.groups:
        comparison = compare(group, sweep.question)
        if group.finished:  # else there is nothing that anybody has scored
            judges, people = judges_compared(comparison, judgements), anchor(group, plan, judgements)
            comparison = replace(comparison, judges=judges, people=people)
        groups.append(comparison)
    return SweepComparison(sweep, tuple(groups))
