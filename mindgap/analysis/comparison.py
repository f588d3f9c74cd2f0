"""What a comparison says: the one result that the page, the tables and `comparison.json` are all written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mindgap.analysis.people import AnchoredGroup
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.results.cell import CellResult
from mindgap.results.sweep import Group
from mindgap.stats.account import AccuracyAccount, Interaction
from mindgap.stats.agreement import Agreement
from mindgap.stats.compare import Difference
from mindgap.stats.dose import DoseResponse
from mindgap.stats.power import Detectable
from mindgap.stats.samples import CellId
from mindgap.stats.selection import CrossFit
from mindgap.stats.tradeoff import Best, FrontMember, NonInferiority

ALPHA = 0.05
"""Level of the adjusted p-values below which a difference is called clear."""
MARGIN = 0.03
"""Accuracy that may be lost, as a share: for "most behaviour within a budget", and for "not harmed"."""
BROKEN = 1.0
"""Points of coherence below the reference at which a dose is said to break it."""


def primary_of(measures: Sequence[Declaration]) -> tuple[Declaration, ...]:
    """What a sweep asks about. p-values are adjusted over these of all cells; other measures are another family."""
    return tuple(measure for measure in measures if measure.prominence == "primary")


def behaviour_of(measures: Sequence[Declaration]) -> Declaration | None:
    """The measure of what steering is for; None where nothing of the kind was measured."""
    return next((measure for measure in primary_of(measures) if measure.role == "behaviour"), None)


@dataclass(frozen=True)
class Tested:
    """A paired difference with its p-value adjusted in both ways over its family and the group's cells."""

    difference: Difference
    p_holm: float | None
    p_bh: float | None

    @property
    def metric(self) -> str:
        return self.difference.metric

    @property
    def estimate(self) -> Estimate:
        return self.difference.estimate

    @property
    def clear(self) -> bool:
        """Told apart from no difference: the Holm-adjusted p-value and the interval agree."""
        return self.hinted and self.p_holm is not None and self.p_holm < ALPHA

    @property
    def hinted(self) -> bool:
        """The interval leaves out 0, whatever the correction for many tests says."""
        low, high = self.estimate.low, self.estimate.high
        return low is not None and high is not None and (low > 0 or high < 0)


@dataclass(frozen=True)
class CellComparison:
    """A cell within its group. What could not be had is None.

    Attributes:
        cell: The cell.
        name: What people call it here.
        harmonic: Harmonic mean of the primary measures, from 0 to 2.
        front: How often it is on the Pareto front.
        differences: From the reference, by measure; empty for the reference itself.
        account: Where accuracy went.
        non_inferior: Of accuracy, with `MARGIN`.
        detectable: By measure, the smallest difference from the reference that these samples would have shown, 4 times
            in 5.
    """

    cell: CellResult
    name: str
    harmonic: Estimate | None = None
    front: FrontMember | None = None
    differences: Mapping[str, Tested] = field(default_factory=dict)
    account: AccuracyAccount | None = None
    non_inferior: NonInferiority | None = None
    detectable: Mapping[str, Detectable] = field(default_factory=dict)


@dataclass(frozen=True)
class Ordering:
    """Rank correlation of cells' means under two judges; None where fewer than 2 cells or no differences."""

    kendall: float | None
    spearman: float | None
    cells: int


@dataclass(frozen=True)
class JudgeView:
    """A group as one judge sees it.

    scored, of: samples with a score of its, and all. means: by cell's folder and metric. headline: as it would read.
    The rest compares it with the sweep's own judge, by metric, and is empty for that one itself; by_query: by metric
    and query.
    """

    judge: str
    scored: int
    of: int
    means: Mapping[str, Mapping[str, Estimate]]
    headline: str
    orders: Mapping[str, Ordering] = field(default_factory=dict)
    agreement: Mapping[str, Agreement] = field(default_factory=dict)
    by_query: Mapping[str, Mapping[str, Agreement]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reversal:
    """Two cells that two judges put in opposite order: paired differences, `cell` - `other_cell`, that leave out 0."""

    metric: str
    cell: str
    other_cell: str
    judge: str
    difference: Estimate
    other: str
    other_difference: Estimate


@dataclass(frozen=True)
class JudgesCompared:
    """own: the judge that the sweep ran with; its view is the first. alpha: Krippendorff's, of all judges together."""

    own: str
    views: tuple[JudgeView, ...]
    alpha: Mapping[str, Estimate] = field(default_factory=dict)
    reversals: tuple[Reversal, ...] = ()


@dataclass(frozen=True)
class GroupComparison:
    """All that is said of a group of cells.

    Attributes:
        group: The cells.
        cells: Each with what is said of it; the reference first.
        dose_responses: One a method's label and measure.
        interactions: One a measure and cell that is both asked for in words and steered, each of which another cell is
            alone.
        best: Most behaviour at no more than `MARGIN` of accuracy lost, chosen on all data.
        cross_fit: The same, chosen on one half and reported on the other.
        notes: What could not be computed, and why.
        judges: What each judge of the group's samples says; None where only the scores were compared.
        people: Means anchored in people's ratings; None where nobody rated.
    """

    group: Group
    cells: tuple[CellComparison, ...]
    dose_responses: tuple[tuple[str, DoseResponse], ...] = ()
    interactions: tuple[tuple[CellComparison, Interaction], ...] = ()
    best: Best | None = None
    cross_fit: CrossFit | None = None
    notes: tuple[str, ...] = ()
    judges: JudgesCompared | None = None
    people: AnchoredGroup | None = None

    @property
    def reference(self) -> CellComparison:
        return self.cells[0]

    @property
    def measures(self) -> tuple[Declaration, ...]:
        """What was measured on any cell, in display order."""
        return self.group.measures

    @property
    def shown(self) -> tuple[Declaration, ...]:
        """Measures of the tables and figures; the others are in comparison.json."""
        return tuple(measure for measure in self.measures if measure.prominence != "detail")

    @property
    def behaviour(self) -> Declaration | None:
        """The measure of what steering is for."""
        return behaviour_of(self.measures)

    @property
    def costs(self) -> tuple[Declaration, ...]:
        """Primary measures of what steering may cost."""
        return tuple(measure for measure in primary_of(self.measures) if measure.role == "cost")

    def measure(self, name: str) -> Declaration:
        """What the measure of this name declares."""
        return next(measure for measure in self.measures if measure.name == name)

    @property
    def others(self) -> tuple[CellComparison, ...]:
        """Finished cells beside the reference."""
        return tuple(one for one in self.cells[1:] if one.cell in self.group.finished)

    def name(self, cell: CellId) -> str:
        """What people call a cell of the statistics, which know cells by their folders' names."""
        return next(one.name for one in self.cells if one.cell.name == cell.method)
