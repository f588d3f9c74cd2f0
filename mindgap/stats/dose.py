"""How a metric follows the dose, and the dose at which it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.bootstrap import UNBOUNDED
from mindgap.stats.joint import joint_draws
from mindgap.stats.samples import CellId, Samples


@dataclass(frozen=True)
class DoseResponse:
    """One method's metric over its doses, the reference standing at dose 0.

    Attributes:
        metric: Its name.
        cells: The reference, and the others by rising dose.
        doses: Relative doses, rising from 0.
        means: Of the metric at each.
        slope: Least-squares change per unit of relative dose, over the samples that all doses have.
        drop: How far below the reference counts as broken, in the metric's own unit.
        breaks: The dose at which the mean first lies `drop` below that of the reference, interpolated between doses;
            None where no dose tried gets there.
        unbroken: Share of draws in which none does.
    """

    metric: str
    cells: tuple[CellId, ...]
    doses: tuple[float, ...]
    means: tuple[Estimate, ...]
    slope: Estimate
    drop: float
    breaks: Estimate
    unbroken: float


def dose_response(
    samples: Samples,
    cells: Sequence[CellId],
    reference: CellId,
    metric: str = "coherence",
    *,
    drop: float = 1.0,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> DoseResponse:
    """Slope and breaking dose of a metric over cells of one method at different doses.

    Args:
        samples: Of a sweep.
        cells: Of one method; the reference may be among them.
        reference: What stands at dose 0.
        metric: Its name.
        drop: How far below the reference counts as broken, in the metric's own unit.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.

    Raises:
        MindgapError: A cell has no dose, or fewer than two doses differ.
    """
    steered = sorted((cell for cell in dict.fromkeys(cells) if cell != reference), key=lambda c: _dose(samples, c))
    if not steered or _dose(samples, steered[0]) <= 0:
        raise MindgapError("a dose-response needs at least one cell with a dose above 0 beside the reference")
    ordered = (reference, *steered)
    doses = np.array([0.0, *(_dose(samples, cell) for cell in steered)])
    means = tuple(samples.estimate(cell, metric, seed=seed, resamples=resamples, level=level) for cell in ordered)
    joint = joint_draws(samples, ordered, [metric], seed=seed, resamples=resamples)
    point = float(breaking_dose(joint.point[None, :, 0], doses, drop)[0])
    slope = _slope(samples, ordered, doses, metric, seed, resamples, level)
    drawn = breaking_dose(joint.draws[:, :, 0], doses, drop)
    breaks = _breaks(point, drawn, doses[-1], slope.n, level)
    unbroken = float(np.isinf(drawn).mean())
    return DoseResponse(metric, ordered, tuple(doses.tolist()), means, slope, drop, breaks, unbroken)


def breaking_dose(means: np.ndarray, doses: np.ndarray, drop: float) -> np.ndarray:
    """The dose at which a mean first lies `drop` below that of the first dose. Between two doses it runs straight.

    Args:
        means: `[draws, doses]`.
        doses: Rising, `[doses]`.
        drop: In the metric's own unit.

    Returns:
        `[draws]`; inf where it never does.
    """
    fall = means[:, [0]] - means
    beyond = fall >= drop
    broken = beyond.any(1)
    after = np.maximum(beyond.argmax(1), 1)
    rows = np.arange(len(means))
    below, above = fall[rows, after - 1], fall[rows, after]
    share = np.divide(drop - below, above - below, out=np.ones(len(means)), where=above > below)
    result: np.ndarray = np.where(broken, doses[after - 1] + share * (doses[after] - doses[after - 1]), np.inf)
    return result


def _dose(samples: Samples, cell: CellId) -> float:
    dose = float(samples.doses[samples.row(cell)])
    if np.isnan(dose):
        raise MindgapError(f"{cell} has no dose: a dose-response is of cells that are steered")
    return dose


def _slope(
    samples: Samples,
    cells: Sequence[CellId],
    doses: np.ndarray,
    metric: str,
    seed: int,
    resamples: int,
    level: float,
) -> Estimate:
    """A slope is a weighted sum of the cells' values, so it has a value for each sample, and a mean like any metric."""
    values, due = samples.paired(metric, cells)
    centred = doses - doses.mean()
    slopes = (centred / (centred**2).sum()) @ values
    missing = int((due & np.isnan(slopes)).sum())
    return samples.mean(slopes, missing, bounds=UNBOUNDED, seed=seed, resamples=resamples, level=level)


def _breaks(point: float, draws: np.ndarray, largest: float, n: int, level: float) -> Estimate:
    """Percentile interval; an end beyond the largest dose tried is None, and the note says so."""
    low, high = np.sort(draws)[
        [int(np.floor((1 - level) / 2 * len(draws))), int(np.ceil((1 + level) / 2 * len(draws))) - 1]
    ]
    ends = [None if np.isinf(end) else float(end) for end in (point, low, high)]
    note = "" if None not in ends else f"None: beyond the largest dose tried, {largest:g}"
    return Estimate(ends[0], ends[1], ends[2], n, 0, note)
