"""What a comparison says: the one result that the page, the tables and `comparison.json` are all written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mindgap.analysis.people import AnchoredGroup
from mindgap.analysis.price import Price
from mindgap.analysis.settle import Unsettled
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.results.cell import CellResult
from mindgap.results.question import Question
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
MOST_PAIRED = 16
"""Cells of a group up to which every two are compared."""
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
    """A paired difference with its p-value adjusted in both ways over its family and the group's cells.

    Attributes:
        difference: The cell less the reference.
        p_holm: Adjusted for the family-wise error (Holm); None where there is no p-value.
        p_bh: Adjusted for the false discovery rate (Benjamini and Hochberg); None where there is no p-value.
    """

    difference: Difference
    p_holm: float | None
    p_bh: float | None

    @property
    def metric(self) -> str:
        """Name of what was measured."""
        return self.difference.metric

    @property
    def estimate(self) -> Estimate:
        """The difference with its interval."""
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
        non_inferior: Of the measure that pays, with the question's margin.
        price: What a reply takes.
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
    price: Price = field(default_factory=Price)
    detectable: Mapping[str, Detectable] = field(default_factory=dict)

    @property
    def keeps(self) -> float | None:
        """Probability that it keeps the question's limit, as far as these samples tell; None where that is unknown.

        One less the one-sided p of a loss of the margin or more: what a flat prior on the loss leaves below the margin.
        """
        return None if self.non_inferior is None or self.non_inferior.p is None else 1 - self.non_inferior.p

    @property
    def asks(self) -> bool:
        """Whether the behaviour is asked for in words."""
        return bool((self.cell.config.get("method") or {}).get("instruction"))

    @property
    def steers(self) -> bool:
        """Whether something is done inside the model."""
        return bool((self.cell.config.get("method") or {}).get("interventions"))


@dataclass(frozen=True)
class Pair:
    """Two cells against each other, sample by sample.

    Attributes:
        cell: One.
        other: The other.
        differences: `cell` less `other` by primary measure; p-values adjusted over what was compared together.
    """

    cell: CellComparison
    other: CellComparison
    differences: Mapping[str, Tested]


@dataclass(frozen=True)
class Ordering:
    """Whether two judges put cells in the same order: rank correlations of the cells' means.

    Attributes:
        kendall: Kendall's tau; None where there are fewer than 2 cells or no differences.
        spearman: Spearman's rho; None likewise.
        cells: How many cells have a mean under both.
    """

    kendall: float | None
    spearman: float | None
    cells: int


@dataclass(frozen=True)
class JudgeView:
    """A group as one judge sees it, and beside the sweep's own judge; for that judge itself nothing is beside.

    Attributes:
        judge: The judge's name.
        scored: How many samples it gave a score.
        of: How many samples there are.
        means: By the cell's name and measure.
        headline: As it would read by this judge's scores.
        orders: By measure, the order of cells.
        agreement: By measure, sample by sample.
        by_query: The same by measure and query.
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
    """Two cells that two judges put in opposite order, clearly so: both intervals leave out 0.

    Attributes:
        metric: What was judged.
        cell: What people call the first cell.
        other_cell: What people call the second.
        judge: Name of a judge.
        difference: The first cell less the second, paired, by that judge.
        other: Name of the other judge.
        other_difference: The same difference by the other judge.
    """

    metric: str
    cell: str
    other_cell: str
    judge: str
    difference: Estimate
    other: str
    other_difference: Estimate


@dataclass(frozen=True)
class JudgesCompared:
    """What all judges of a group's samples say of it.

    Attributes:
        own: The judge that the sweep ran with; its view is the first.
        views: What each judge says.
        alpha: Krippendorff's alpha of all judges together, by measure; empty where there is one judge.
        reversals: Cells that judges put in opposite order.
    """

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
        dose_responses: For each family (`Group.family`) and measure, the family with the response to the dose.
        interactions: For each measure of each cell that is both asked for in words and steered, the cell with what both
            together do beyond the sum of the two alone.
        question: What is asked.
        best: The cell that answers it: most behaviour within the limit, chosen on all data.
        cross_fit: The same, chosen on one half and reported on the other.
        direct: The best steered cell against the best that only asks in words; None where there are not both.
        pairs: Every two finished cells, in their order; empty where there are more than `MOST_PAIRED`.
        unsettled: What is open, and what would settle it.
        notes: What could not be computed, and why.
        said_of: What all of it is for, where there are too few queries or items to speak of others; else empty.
        uneven: Whether effects are so uneven over queries or items that tests may claim more than they should.
        judges: What each judge of the group's samples says; None where only the scores were compared.
        people: Means anchored in people's ratings; None where nobody rated.
    """

    group: Group
    cells: tuple[CellComparison, ...]
    dose_responses: tuple[tuple[str, DoseResponse], ...] = ()
    interactions: tuple[tuple[CellComparison, Interaction], ...] = ()
    question: Question = field(default_factory=Question)
    best: Best | None = None
    direct: Pair | None = None
    pairs: tuple[Pair, ...] = ()
    unsettled: tuple[Unsettled, ...] = ()
    cross_fit: CrossFit | None = None
    notes: tuple[str, ...] = ()
    said_of: str = ""
    uneven: bool = False
    judges: JudgesCompared | None = None
    people: AnchoredGroup | None = None

    @property
    def reference(self) -> CellComparison:
        """The cell that the others are compared with."""
        return self.cells[0]

    @property
    def finished(self) -> tuple[CellComparison, ...]:
        """Those of cells that have samples to compare."""
        return tuple(comparison for comparison in self.cells if comparison.cell in self.group.finished)

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
    def paying(self) -> Declaration | None:
        """The measure that the question's limit is on; None where nothing of the kind was measured."""
        paying = self.question.paying(self.measures)
        estimate = None if paying is None else self.reference.cell.metrics.get(paying.name)
        return None if estimate is None or estimate.value is None else paying

    def of(self, cell: CellId) -> CellComparison:
        """What is said of a cell of the statistics, which know cells by their folders' names."""
        return next(comparison for comparison in self.cells if comparison.cell.name == cell.method)

    @property
    def others(self) -> tuple[CellComparison, ...]:
        """Finished cells beside the reference."""
        return tuple(comparison for comparison in self.finished if comparison is not self.reference)

    def name(self, cell: CellId) -> str:
        """What people call a cell of the statistics."""
        return self.of(cell).name
