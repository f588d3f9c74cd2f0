"""Means over crossed queries and items, with intervals that resample both."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from mindgap.stats.estimate import Estimate

Bounds = tuple[float | None, float | None]
_DRAWS_AT_ONCE = 2_000


def crossed_mean(
    values: np.ndarray,
    queries: Sequence[Hashable] | np.ndarray,
    items: Sequence[Hashable] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    binary: bool = False,
    bounds: Bounds = (None, None),
) -> Estimate:
    """Mean of `values` with a bootstrap interval that resamples queries and items as crossed clusters.

    Owen's pigeonhole bootstrap (2007, Annals of Applied Statistics 1:386): a resample draws queries and items with
    replacement, and a sample counts as often as its query times its item were drawn. Its percentile interval is too
    short for few clusters, so it is stretched by the ratio of the t to the normal quantile, with Satterthwaite's
    degrees of freedom for the two sources of variance; then it is clipped to `bounds`.

    values: float `[samples]`, NaN = missing, which is counted and left out. Results do not depend on row order.
    binary: values are 0 or 1; where all are equal the interval is Wilson's, with one observation per item.
    """
    values = np.asarray(values, dtype=float)
    present = ~np.isnan(values)
    n, missing = int(present.sum()), int((~present).sum())
    if n == 0:
        return Estimate(None, None, None, 0, missing, "no value: all are missing")
    sums, counts = _table(values[present], np.asarray(queries)[present], np.asarray(items)[present])
    mean = float(sums.sum() / counts.sum())
    if n == 1:
        return Estimate(mean, None, None, 1, missing, "one sample gives no interval")
    if np.ptp(values[present]) == 0:
        if not binary:
            return Estimate(mean, mean, mean, n, missing, "all values are equal")
        low, high = _wilson(mean, sums.shape[1], level)
        return Estimate(mean, low, high, n, missing, "all answers are equal: Wilson's interval over items")
    draws = _draws(sums, counts, seed, resamples)
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    stretch = _stretch(sums, counts, level)
    low, high = mean - stretch * (mean - low), mean + stretch * (high - mean)
    floor, ceiling = (-np.inf if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1])
    return Estimate(mean, float(max(low, floor)), float(min(high, ceiling)), n, missing)


def _table(values: np.ndarray, queries: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts by query and item: two `[queries, items]` arrays, labels in sorted order."""
    rows = _codes(queries)
    columns = _codes(items)
    shape = (rows.max() + 1, columns.max() + 1)
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (rows, columns), values)
    np.add.at(counts, (rows, columns), 1.0)
    return sums, counts


def _codes(labels: np.ndarray) -> np.ndarray:
    codes: np.ndarray = np.unique(labels, return_inverse=True)[1].reshape(-1)
    return codes


def _draws(sums: np.ndarray, counts: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of the resamples: `[resamples]`. A resample that holds no sample at all is drawn as the plain mean."""
    generator = np.random.default_rng(seed)
    plain = sums.sum() / counts.sum()
    draws = []
    for start in range(0, resamples, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, resamples - start)
        of_queries, of_items = (_weights(generator, size, levels) for levels in sums.shape)
        totals = ((of_queries @ sums) * of_items).sum(1)
        weights = ((of_queries @ counts) * of_items).sum(1)
        draws.append(np.divide(totals, weights, out=np.full(size, plain), where=weights > 0))
    return np.concatenate(draws)


def _weights(generator: np.random.Generator, size: int, levels: int) -> np.ndarray:
    """How often each level is drawn, `[size, levels]`; a factor of one level is not resampled."""
    if levels == 1:
        return np.ones((size, 1))
    return generator.multinomial(levels, np.full(levels, 1 / levels), size=size).astype(float)


def _stretch(sums: np.ndarray, counts: np.ndarray, level: float) -> float:
    """Ratio of the t to the normal quantile at Satterthwaite's degrees of freedom."""
    from scipy import stats

    parts = [_variance_of_mean(sums, counts, axis) for axis in (0, 1)]
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 1.0
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in parts if degrees)
    quantile = (1 + level) / 2
    return float(stats.t.ppf(quantile, freedom) / stats.norm.ppf(quantile))


def _variance_of_mean(sums: np.ndarray, counts: np.ndarray, axis: int) -> tuple[float, int]:
    """Variance of the mean due to the clusters along the other axis, and its degrees of freedom."""
    s, c = sums.sum(axis), counts.sum(axis)
    k = int((c > 0).sum())
    if k < 2:
        return 0.0, 0
    residual = s - c * (s.sum() / c.sum())
    return float(k / (k - 1) * (residual**2).sum() / c.sum() ** 2), k - 1


def _wilson(share: float, n: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a share of `n` independent observations."""
    from scipy import stats

    interval: Any = stats.binomtest(round(share * n), n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)
