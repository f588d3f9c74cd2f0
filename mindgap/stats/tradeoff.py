"""How much behaviour for how much capability: the front, the best within a budget, and what may be called unharmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.compare import difference
from mindgap.stats.crossed import CrossedTable, variance_of_mean
from mindgap.stats.joint import joint_draws, mean_of_chosen
from mindgap.stats.samples import CellId, Samples

TRADED = ("behaviour", "coherence", "accuracy")


@dataclass(frozen=True)
class FrontMember:
    """A cell's place on the Pareto front.

    Attributes:
        cell: Which cell.
        means: Of the traded metrics, by name.
        on_front: Whether no other cell is as good in every metric and better in one.
        probability: Of that, over draws.
    """

    cell: CellId
    means: dict[str, float]
    on_front: bool
    probability: float


@dataclass(frozen=True)
class Rule:
    """Take the most of one metric among the cells that lose no more than so much of another.

    Attributes:
        loss: Most that may be lost against the reference, in the unit of `budget`.
        maximise: Name of the metric to have most of.
        budget: Name of the metric that pays.
        confidence: That the limit is kept, for a cell to be taken; None takes the means at their word.
    """

    loss: float
    maximise: str = "behaviour"
    budget: str = "accuracy"
    confidence: float | None = None

    def __post_init__(self) -> None:
        if self.loss < 0:
            raise ValueError(f"a loss that is allowed is 0 or more, not {self.loss}")
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ValueError(f"a confidence is at least 0.5 and below 1, not {self.confidence}")

    def choose(
        self, gain: np.ndarray, budget: np.ndarray, reference: int, slack: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """The cell to take; the reference can always be taken.

        Args:
            gain: Means of `maximise`, `[..., cells]`.
            budget: Means of `budget`, `[..., cells]`.
            reference: Index of the reference.
            slack: By how much the limit must be kept to be sure of it (`slack`), `[..., cells]`.

        Returns:
            Its index, `[...]`.
        """
        allowed = budget >= budget[..., [reference]] - self.loss + slack - 1e-12
        chosen: np.ndarray = np.where(allowed, gain, -np.inf).argmax(-1)
        return chosen


@dataclass(frozen=True)
class Best:
    """The cell that a rule takes.

    The value itself is that of a winner and so flattered by luck; `selection.cross_fit` gives one that is not.

    Attributes:
        rule: What chose.
        cell: The cell taken.
        value: Of `rule.maximise` in it; the interval lets the choice vary.
        chances: Of each cell, over draws.
        keeps: Confidence that its loss is no more than the rule allows: one less the one-sided p of more.
    """

    rule: Rule
    cell: CellId
    value: Estimate
    chances: dict[CellId, float]
    keeps: float


Verdict = Literal["unharmed", "harmed", "undecided"]


@dataclass(frozen=True)
class NonInferiority:
    """Is the loss against the reference smaller than a margin?

    Attributes:
        metric: Its name.
        cell: Whose loss.
        reference: What it is compared with.
        margin: In the metric's own unit.
        estimate: The difference, cell minus reference.
        p: One-sided, of a loss of `margin` or more, from the t with the interval's degrees of freedom; None without
            variation.
        verdict: By the interval: `unharmed` if it lies above -margin, `harmed` if below.
    """

    metric: str
    cell: CellId
    reference: CellId
    margin: float
    estimate: Estimate
    p: float | None
    verdict: Verdict


def pareto(
    samples: Samples,
    *,
    metrics: Sequence[str] = TRADED,
    cells: Sequence[CellId] | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> tuple[FrontMember, ...]:
    """Each cell's place on the Pareto front, more being better in all metrics, and how sure that is.

    Cells compete with those of their own model only.

    Args:
        samples: Of a sweep.
        metrics: Their names.
        cells: None = all.
        seed: Of the bootstrap.
        resamples: How many.
    """
    members = {}
    chosen = samples.cells if cells is None else tuple(cells)
    for model in dict.fromkeys(cell.model for cell in chosen):
        rivals = [cell for cell in chosen if cell.model == model]
        joint = joint_draws(samples, rivals, metrics, seed=seed, resamples=resamples)
        on_front = undominated(joint.point)
        probabilities = undominated(joint.draws).mean(0)
        for number, cell in enumerate(rivals):
            means = dict(zip(metrics, joint.point[number].tolist(), strict=True))
            members[cell] = FrontMember(cell, means, bool(on_front[number]), float(probabilities[number]))
    return tuple(members[cell] for cell in chosen)


def undominated(means: np.ndarray) -> np.ndarray:
    """Whether each cell is beaten by none.

    Args:
        means: `[..., cells, metrics]`, more being better in all.

    Returns:
        bool `[..., cells]`.
    """
    cells = means.shape[-2]
    result = np.ones(means.shape[:-1], dtype=bool)
    for rival in range(cells):
        rest = means[..., [rival], :]
        result &= ~((rest >= means).all(-1) & (rest > means).any(-1))
    return result


def best_within(
    samples: Samples,
    reference: CellId,
    rule: Rule,
    *,
    cells: Sequence[CellId] | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Best:
    """The cell with the most behaviour at no more than so much accuracy lost.

    Args:
        samples: Of a sweep.
        reference: What losses are measured against; it can always be taken.
        rule: What chooses.
        cells: To choose from; None = all of the reference's model.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
    """
    rivals = with_reference(samples, reference, cells)
    joint = joint_draws(samples, rivals, (rule.maximise, rule.budget), seed=seed, resamples=resamples)
    base = joint.cell(reference)
    losses = [samples.change_table(reference, cell, rule.budget) for cell in rivals]
    margin = np.array([slack(loss, rule) for loss in losses])
    chosen = int(rule.choose(joint.point[:, 0], joint.point[:, 1], base, margin))
    picks = rule.choose(joint.draws[:, :, 0], joint.draws[:, :, 1], base, margin)
    (values,), due = samples.paired(rule.maximise, [rivals[chosen]])
    bounds = samples.metric(rule.maximise).scale.bounds
    if_chosen = joint.point[picks, 0]
    value = mean_of_chosen(samples, values, due, if_chosen, bounds, seed=seed, resamples=resamples, level=level)
    chances = np.bincount(picks, minlength=len(rivals)) / resamples
    keeps = confidence_within(losses[chosen], rule.loss)
    return Best(rule, rivals[chosen], value, dict(zip(rivals, chances.tolist(), strict=True)), keeps)


def confidence_within(losses: CrossedTable, limit: float) -> float:
    """Confidence that the mean of `losses` over all queries and items of the kind is at most `limit`, by Student's t.

    Where nothing varies it is 1 or 0.
    """
    from scipy import special

    variance = variance_of_mean(losses)
    if variance.total == 0:
        return float(losses.mean <= limit)
    return float(special.stdtr(variance.freedom, (limit - losses.mean) / variance.total**0.5))


def slack(losses: CrossedTable, rule: Rule) -> float:
    """By how much the mean of `losses` must lie below the rule's limit for the rule's confidence that it is kept.

    Where nothing varies, the share of levels that may be unlike those seen (the exact binomial tail) counts as lost.
    """
    from scipy import special

    if rule.confidence is None or not losses.sums.any():
        return 0.0
    variance = variance_of_mean(losses)
    if variance.total == 0:
        return float(1 - (1 - rule.confidence) ** (1 / max(losses.levels)))
    return float(special.stdtrit(variance.freedom, rule.confidence) * variance.total**0.5)


def with_reference(samples: Samples, reference: CellId, cells: Sequence[CellId] | None) -> list[CellId]:
    """The reference and the cells to choose from, without repeats; by default all of the reference's model."""
    samples.row(reference)
    chosen = [cell for cell in samples.cells if cell.model == reference.model] if cells is None else cells
    return list(dict.fromkeys([reference, *chosen]))


def non_inferiority(
    samples: Samples,
    cell: CellId,
    reference: CellId,
    margin: float,
    *,
    metric: str = "accuracy",
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> NonInferiority:
    """Whether a cell keeps the reference's accuracy to within a margin, paired.

    Args:
        samples: Of a sweep.
        cell: Whose accuracy.
        reference: What it is compared with.
        margin: In the metric's own unit: 0.02 = two points of accuracy.
        metric: Its name.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.

    Raises:
        MindgapError: The margin is not above 0.
    """
    if margin <= 0:
        raise MindgapError(f"a margin is more than 0, not {margin}: no study can show that nothing at all is lost")
    estimate = difference(samples, cell, reference, metric, seed=seed, resamples=resamples, level=level).estimate
    p: float | None = None
    if estimate.value is not None and estimate.low is not None:
        losses = samples.change_table(reference, cell, metric)
        if variance_of_mean(losses).total > 0:
            p = 1 - confidence_within(losses, margin)
    verdict: Verdict = "undecided"
    if estimate.low is not None and estimate.low > -margin:
        verdict = "unharmed"
    elif estimate.high is not None and estimate.high < -margin:
        verdict = "harmed"
    return NonInferiority(metric, cell, reference, margin, estimate, p, verdict)


def harmonic_mean(
    samples: Samples, cell: CellId, *, parts: Sequence[str] = TRADED, seed: int = 0, resamples: int = 10_000
) -> Estimate:
    """The harmonic mean of several metrics per sample, averaged, from 0 to 2 as AxBench reports it.

    AxBench (Wu et al. 2025, section 4) rates concept, instruction and fluency 0, 1 or 2. Here every part is mapped
    linearly from its bounds to [0, 2]: a score of 1-5 as (score - 1) / 2, a share of 0-1 as twice the share. A sample
    with a part at its lowest counts 0. A sample with a missing part is missing, never 0.

    Args:
        samples: Of a sweep.
        cell: Whose metrics.
        parts: Names of metrics with bounds.
        seed: Of the bootstrap.
        resamples: How many.

    Raises:
        MindgapError: A part has no bounds.
    """
    samples.require_one_judge([cell], parts)
    row = samples.row(cell)
    scaled, due = [], np.ones(len(samples.query), dtype=bool)
    for part in parts:
        measured = samples.metric(part)
        low, high = measured.scale.bounds
        if low is None or high is None:
            raise MindgapError(f"{part} has no bounds, so it cannot be part of a harmonic mean")
        due &= measured.applies[row]
        scaled.append(2 * (measured.values[row] - low) / (high - low))
    values = np.stack(scaled)
    with np.errstate(divide="ignore"):
        means = np.where(np.isnan(values).any(0), np.nan, len(parts) / (1 / values).sum(0))
    means = np.where(due, means, np.nan)
    missing = int((due & np.isnan(means)).sum())
    return samples.mean(means, missing, bounds=(0, 2), seed=seed, resamples=resamples)
