"""Means of many cells and metrics resampled together, for answers that are not a mean themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindgap.errors import MindgapError
from mindgap.stats.crossed import Resampling
from mindgap.stats.estimate import Estimate
from mindgap.stats.samples import CellId, Samples


@dataclass(frozen=True)
class Joint:
    """point: means `[cells, metrics]`. draws: the same in every resample, `[resamples, cells, metrics]`."""

    cells: tuple[CellId, ...]
    metrics: tuple[str, ...]
    point: np.ndarray
    draws: np.ndarray

    def cell(self, cell: CellId) -> int:
        return self.cells.index(cell)

    def metric(self, metric: str) -> int:
        return self.metrics.index(metric)


def joint_draws(
    samples: Samples, cells: Sequence[CellId], metrics: Sequence[str], *, seed: int = 0, resamples: int = 10_000
) -> Joint:
    """Means of `metrics` in `cells`, and draws of them in which all cells share the resampled queries and items.

    Sharing keeps what two cells have in common, hard items say, out of their difference. The pigeonhole draws are then
    widened for few clusters: with k levels in the smaller factor by sqrt(k / (k - 1)), and draw by draw by the factor
    sqrt((k - 1) / chi-squared) that turns a normal into Student's t with k - 1 degrees of freedom, and clipped to the
    metric's bounds. So probabilities from three queries are as unsure as they should be.

    Raises MindgapError if a cell has no value of a metric, or two judges' scores would meet.
    """
    samples.require_one_judge(cells, metrics)
    tables = []
    for cell in cells:
        for metric in metrics:
            measured, row = samples.metric(metric), samples.row(cell)
            tables.append(samples.table(np.where(measured.applies[row], measured.values[row], np.nan)))
            if not tables[-1].counts.any():
                raise MindgapError(f"{cell} has no value of {metric}: leave the cell or the metric out")
    shape = (len(cells), len(metrics))
    point = np.array([table.mean for table in tables]).reshape(shape)
    drawn = Resampling(len(samples.queries), len(samples.items), resamples, seed).means(tables)
    draws = widened(point, drawn.reshape(resamples, *shape), fewest_clusters(samples), seed)
    for number, metric in enumerate(metrics):
        low, high = samples.metric(metric).scale.bounds
        draws[:, :, number] = np.clip(draws[:, :, number], low, high)
    return Joint(tuple(cells), tuple(metrics), point, draws)


def fewest_clusters(samples: Samples) -> int:
    """Levels of the smaller of the two factors, one that is fixed (a single level) aside."""
    levels = [count for count in (len(np.unique(samples.query)), len(np.unique(samples.item))) if count > 1]
    if not levels:
        raise MindgapError("one query and one item: there is nothing to resample")
    return min(levels)


def widened(point: np.ndarray, draws: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Draws `[resamples, ...]` about `point` `[...]`, spread as far as `clusters` clusters warrant; see `joint_draws`.

    A resample without any sample of some cell is taken as the point itself.
    """
    freedom = clusters - 1
    generator = np.random.default_rng([seed, clusters])
    factors = np.sqrt(clusters / generator.chisquare(freedom, len(draws)))
    deviations = np.where(np.isnan(draws), 0.0, draws - point)
    result: np.ndarray = point + deviations * factors.reshape(-1, *[1] * point.ndim)
    return result


def draws_interval(value: float, draws: np.ndarray, n: int, level: float, note: str = "") -> Estimate:
    """`value` with the percentile interval of its `draws`, moved by what the draws are off on average.

    A maximum over cells is higher in resamples than in the data; without the move the interval would inherit that.
    """
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) - (draws.mean() - value)
    return Estimate(value, float(min(low, value)), float(max(high, value)), n, 0, note)
