"""What a comparison says: the one result that the page, the tables and `comparison.json` are all written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mindgap.cell import CellResult
from mindgap.report.data import Group
from mindgap.stats.compare import Difference
from mindgap.stats.estimate import Estimate

ALPHA = 0.05
"""Level of the adjusted p-values below which a difference is called clear."""


PRIMARY = ("behaviour", "coherence", "accuracy")
"""What a sweep asks about. p-values are adjusted over these of all cells; those of other metrics are a second family."""


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
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None or self.p_holm is None:
            return False
        return self.p_holm < ALPHA and (low > 0 or high < 0)


@dataclass(frozen=True)
class Account:
    """Where accuracy went, in points of a share: `total` = `knowledge` + `format` + `expression`, each a loss if positive.

    format: replies in which no answer can be read. knowledge: right options that the model itself, by
    log-likelihood, no longer prefers. expression: the rest. knowledge is None where there are no log-likelihoods,
    and then the rest holds it.
    """

    total: Estimate
    format: Estimate
    knowledge: Estimate | None = None
    expression: Estimate | None = None


@dataclass(frozen=True)
class CellComparison:
    """A cell within its group. pareto: share of resamples in which no other cell is at least as good in all of
    `GroupComparison.objectives` and better in one. differences: by metric; empty for the reference."""

    cell: CellResult
    name: str
    harmonic: Estimate | None = None
    pareto: float | None = None
    on_front: bool | None = None
    differences: Mapping[str, Tested] = field(default_factory=dict)
    account: Account | None = None
    non_inferior: bool | None = None


@dataclass(frozen=True)
class DoseResponse:
    """How a metric moves with the relative dose of one method. slope: change per unit of dose."""

    label: str
    metric: str
    slope: Estimate
    breaking_dose: float | None = None


@dataclass(frozen=True)
class Interaction:
    """How much more a combination does than its parts' effects added up."""

    combined: str
    parts: tuple[str, str]
    metric: str
    estimate: Estimate


@dataclass(frozen=True)
class Power:
    """The smallest true difference that this design would have found, 4 times in 5, by metric."""

    metric: str
    smallest: float


@dataclass(frozen=True)
class Choice:
    """Most behaviour among cells that lose no more than `margin` of accuracy. cell: None if there is none.

    share: how often the resamples choose it. behaviour: its gain over the reference, with the choice in the interval.
    """

    margin: float
    cell: str | None
    share: float | None
    behaviour: Estimate | None


@dataclass(frozen=True)
class GroupComparison:
    """All that is said of a group of cells."""

    group: Group
    cells: tuple[CellComparison, ...]
    objectives: tuple[str, ...] = ()
    dose_responses: tuple[DoseResponse, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    power: tuple[Power, ...] = ()
    choice: Choice | None = None

    @property
    def reference(self) -> CellComparison:
        return self.cells[0]

    @property
    def others(self) -> tuple[CellComparison, ...]:
        """Finished cells beside the reference."""
        return tuple(one for one in self.cells[1:] if one.cell in self.group.finished)
