"""Means of many cells and metrics resampled together, for answers that are not a mean themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.bootstrap import Bounds, clip, normal_quantile
from mindgap.stats.crossed import Resampling, variance_of_mean
from mindgap.stats.samples import CellId, Samples


@dataclass(frozen=True)
class Joint:
    """Means of several cells and metrics, and draws of them that belong together.

    Attributes:
        cells: Whose means.
        metrics: Their names.
        point: Means `[cells, metrics]`.
        draws: The same in every resample, `[resamples, cells, metrics]`.
    """

    cells: tuple[CellId, ...]
    metrics: tuple[str, ...]
    point: np.ndarray
    draws: np.ndarray

    def cell(self, cell: CellId) -> int:
        """Place of a cell among `cells`."""
        return self.cells.index(cell)

    def metric(self, metric: str) -> int:
        """Place of a metric among `metrics`."""
        return self.metrics.index(metric)


def joint_draws(
    samples: Samples, cells: Sequence[CellId], metrics: Sequence[str], *, seed: int = 0, resamples: int = 10_000
) -> Joint:
    """Means of metrics in cells, and draws of them in which all cells share the resampled queries and items.

    Sharing keeps what two cells have in common, hard items say, out of their difference. The pigeonhole draws are then
    widened for few clusters: with k levels in the smaller factor by sqrt(k / (k - 1)), and draw by draw by the factor
    sqrt((k - 1) / chi-squared) that turns a normal into Student's t with k - 1 degrees of freedom, and clipped to the
    metric's bounds. So probabilities from three queries are as unsure as they should be.

    Args:
        samples: Of a sweep.
        cells: Whose means.
        metrics: Their names.
        seed: Of the bootstrap.
        resamples: How many.

    Raises:
        MindgapError: A cell has no value of a metric, or two judges' scores would meet.
    """
    samples.require_one_judge(cells, metrics)
    tables = []
    for cell in cells:
        for metric in metrics:
            tables.append(samples.cell_table(cell, metric))
            if not tables[-1].counts.any():
                raise MindgapError(f"{cell} has no value of {metric}: leave the cell or the metric out")
    shape = (len(cells), len(metrics))
    point = np.array([table.mean for table in tables]).reshape(shape)
    queries, items = tables[0].counts.shape
    drawn = Resampling(queries, items, resamples, seed).means(tables)
    draws = widened(point, drawn.reshape(resamples, *shape), widths(fewest_clusters(samples), resamples, seed))
    for number, metric in enumerate(metrics):
        low, high = samples.metric(metric).scale.bounds
        draws[:, :, number] = np.clip(draws[:, :, number], low, high)
    return Joint(tuple(cells), tuple(metrics), point, draws)


def fewest_clusters(samples: Samples) -> int:
    """Levels of the smaller of the two factors, one that is given or has a single level aside.

    Raises:
        MindgapError: Both are fixed.
    """
    factors = {"queries": samples.query, "items": samples.item}
    counts = [len(np.unique(codes)) for factor, codes in factors.items() if factor != samples.given]
    levels = [count for count in counts if count > 1]
    if not levels:
        raise MindgapError("one query and one item: there is nothing to resample")
    return min(levels)


def widths(clusters: int, resamples: int, seed: int) -> np.ndarray:
    """By what each draw's distance from the point is multiplied, `[resamples]`; see `joint_draws`.

    Args:
        clusters: Levels of the smaller factor.
        resamples: How many draws there are.
        seed: Of the random widths.
    """
    generator = np.random.default_rng([seed, clusters])
    factors: np.ndarray = np.sqrt(clusters / generator.chisquare(clusters - 1, resamples))
    return factors


def widened(point: np.ndarray, draws: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Draws spread as far as few clusters warrant.

    Args:
        point: What they are drawn about, `[...]`.
        draws: `[draws, ...]`; one without any sample of some cell (NaN) is taken as the point itself.
        factors: Of each draw (`widths`), `[draws]`.
    """
    deviations = np.where(np.isnan(draws), 0.0, draws - point)
    result: np.ndarray = point + deviations * factors.reshape(-1, *[1] * point.ndim)
    return result


def mean_of_chosen(
    samples: Samples,
    values: np.ndarray,
    due: np.ndarray,
    if_chosen: np.ndarray,
    bounds: Bounds,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Estimate:
    """Mean of values of cells that were chosen, with an interval that lets the choice vary.

    By the law of total variance: that of the mean as if nothing had been chosen, plus that of what the choices of the
    draws would have been worth.

    Args:
        samples: Of a sweep.
        values: Each sample's value in the cell chosen for it, `[samples]`.
        due: Whether a sample should have a value, bool `[samples]`.
        if_chosen: What the choice of each draw would have been worth, `[resamples]`.
        bounds: Lowest and highest mean there can be.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
    """
    missing = int((due & np.isnan(values)).sum())
    estimate = samples.mean(values, missing, bounds=bounds, seed=seed, resamples=resamples, level=level)
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    variance, by_choice = variance_of_mean(samples.table(values)), float(if_chosen.var())
    if variance.total > 0:
        factor = (1 + by_choice / variance.total) ** 0.5
        below, above = factor * (estimate.value - estimate.low), factor * (estimate.high - estimate.value)
    else:
        below = above = normal_quantile(level) * by_choice**0.5
    low, high = clip((estimate.value - below, estimate.value + above), bounds)
    return Estimate(estimate.value, low, high, estimate.n, estimate.missing, estimate.note)
