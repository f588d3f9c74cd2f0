"""Means over crossed queries and items, with intervals that take both for draws from many."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from mindgap.core.estimate import Estimate
from mindgap.stats.crossed import (
    FEWEST,
    CrossedTable,
    Resampling,
    Variance,
    codes,
    said_of,
    taken_as_it_is,
    variance_of_mean,
)

Bounds = tuple[float | None, float | None]
"""Lowest and highest value a metric can have; None where there is no end."""

UNBOUNDED: Bounds = (None, None)


def crossed_mean(
    values: np.ndarray,
    queries: Sequence[Hashable] | np.ndarray,
    items: Sequence[Hashable] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    binary: bool = False,
    bounds: Bounds = UNBOUNDED,
    population: bool = False,
) -> Estimate:
    """Mean of values with an interval for other queries and other items of the same kind.

    The *shape* of the interval is that of the pigeonhole bootstrap (`crossed.Resampling`), its *width* that of a t
    interval on the two-way variance of the mean: raw percentiles are up to 1.7 times too wide where noise dominates and
    miss the truth in a fifth of studies of three queries. Binary values get Wilson's interval at the effective sample
    size that this variance amounts to, which stays right near 0 and 1. docs/statistics.md gives the measured coverage
    of all of these.

    A factor of fewer than six levels (of two such factors, the smaller) is taken as it is: the interval is for these
    levels, and the note says so.

    The result does not depend on the order of rows, and the same seed gives the same draws.

    Args:
        values: float `[samples]`, NaN = missing, which is counted and left out. Several samples (epochs) may share a
            query and an item.
        queries: Each sample's query; if all are the same, it is taken as fixed.
        items: Each sample's item; likewise.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
        binary: Whether values are 0 or 1.
        bounds: Lowest and highest value there can be.
        population: Whether the interval is for other queries and items even where these are too few for that.

    Raises:
        ValueError: The three lengths differ, or a `binary` value is neither 0 nor 1.
    """
    values = np.asarray(values, dtype=float)
    if not len(values) == len(queries) == len(items):
        raise ValueError(f"{len(values)} values, {len(queries)} queries and {len(items)} items: one of each per sample")
    present = ~np.isnan(values)
    n, missing = int(present.sum()), int((~present).sum())
    if n == 0:
        return Estimate(None, None, None, 0, missing, "no value: all are missing" if missing else "no samples")
    if binary and not np.isin(values[present], (0, 1)).all():
        raise ValueError("a binary value is 0 or 1")
    query_codes, query_labels = codes(queries)
    item_codes, item_labels = codes(items)
    levels = (len(query_labels), len(item_labels))
    given = None if population else taken_as_it_is(*levels)
    return table_mean(
        CrossedTable.of(values, query_codes, item_codes, levels).given(given),
        missing=missing,
        constant=bool(np.ptp(values[present]) == 0),
        seed=seed,
        resamples=resamples,
        level=level,
        binary=binary,
        bounds=bounds,
        note="" if given is None else said_of(given, levels[0 if given == "queries" else 1]),
    )


def table_mean(
    table: CrossedTable,
    *,
    missing: int = 0,
    constant: bool = False,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    binary: bool = False,
    bounds: Bounds = UNBOUNDED,
    note: str = "",
) -> Estimate:
    """`crossed_mean` of values already in a table that holds at least one.

    Args:
        table: The values by query and item.
        missing: How many values lack, for the estimate.
        constant: Whether all values are equal.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
        binary: Whether values are 0 or 1.
        bounds: Lowest and highest value there can be.
        note: What the estimate notes besides what is found here.
    """
    n, mean = int(table.counts.sum()), table.mean
    if n == 1:
        return Estimate(mean, None, None, 1, missing, "one sample gives no interval")
    queries, items = table.levels
    if queries == items == 1:
        return Estimate(mean, None, None, n, missing, "one query and one item give no interval")
    clusters = items if items > 1 else queries
    variance = variance_of_mean(table)
    if constant or variance.total == 0:
        alone = _without_variance(mean, n, missing, clusters, level, binary, bounds)
        return replace(alone, note=_both(note, alone.note))
    quantile = t_quantile(level, variance.freedom)
    if binary:
        low, high = wilson(mean, mean * (1 - mean) / variance.total, quantile)
    else:
        below, above = _shape(table, seed, resamples, level)
        error = quantile * variance.total**0.5
        low, high = clip((mean - below * error, mean + above * error), bounds)
    return Estimate(mean, low, high, n, missing, _both(note, _few(variance, queries, items)))


def t_quantile(level: float, freedom: float) -> float:
    """How many standard errors an interval of `level` reaches to either side."""
    from scipy import special

    return float(special.stdtrit(freedom, (1 + level) / 2))


def normal_quantile(level: float) -> float:
    """`t_quantile` with infinite degrees of freedom."""
    from scipy import special

    return float(special.ndtri((1 + level) / 2))


def wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval of a share seen in independent observations.

    With an effective `n` and a t quantile it serves clustered samples, as Korn and Graubard (1998, Survey Methodology
    24:193) do with the exact interval.

    Args:
        share: What was seen, 0 to 1.
        n: Number of observations; need not be whole.
        quantile: How many standard errors the interval reaches to either side.
    """
    shrink = 1 + quantile**2 / n
    centre = (share + quantile**2 / (2 * n)) / shrink
    half = quantile / shrink * (share * (1 - share) / n + quantile**2 / (4 * n**2)) ** 0.5
    return (max(0.0, centre - half) if share > 0 else 0.0), (min(1.0, centre + half) if share < 1 else 1.0)


def clip(interval: tuple[float, float], bounds: Bounds) -> tuple[float, float]:
    """`interval` within `bounds`."""
    low, high = interval
    floor, ceiling = bounds
    return low if floor is None else max(low, floor), high if ceiling is None else min(high, ceiling)


def _shape(table: CrossedTable, seed: int, resamples: int, level: float) -> tuple[float, float]:
    """How the bootstrap shares the width of an interval between below and above the mean: two numbers with mean 1."""
    queries, items = table.counts.shape
    means = Resampling(queries, items, resamples, seed).means([table])[:, 0]
    low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2])
    below, above = max(0.0, float(table.mean - low)), max(0.0, float(high - table.mean))
    half = (below + above) / 2
    return (below / half, above / half) if half > 0 else (1.0, 1.0)


def _without_variance(
    mean: float, n: int, missing: int, clusters: int, level: float, binary: bool, bounds: Bounds
) -> Estimate:
    """All clusters agree, so there is nothing to resample, but `clusters` that agree do not make a law.

    A share: Wilson's interval with one observation per cluster. A bounded metric: with confidence `level`, fewer than a
    share p of all clusters would differ, where (1 - p)^clusters is the exact binomial tail, and each of them by no more
    than the distance to the bound; from fewer than `FEWEST` clusters that would be nearly the whole scale, and there is
    no interval. Without bounds the data say nothing, and the interval is the value itself.
    """
    if binary:
        low, high = wilson(mean, clusters, normal_quantile(level))
        note = f"no variation: Wilson's interval with {clusters} observations"
        return Estimate(mean, low, high, n, missing, note)
    if None in bounds:
        return Estimate(mean, mean, mean, n, missing, "all values are equal: no interval can be had from them")
    if clusters < FEWEST:
        return Estimate(mean, None, None, n, missing, f"{clusters} equal values give no interval")
    unseen = 1 - ((1 - level) / 2) ** (1 / clusters)
    floor, ceiling = (float(bound) for bound in bounds if bound is not None)
    low, high = mean - unseen * (mean - floor), mean + unseen * (ceiling - mean)
    return Estimate(mean, low, high, n, missing, f"all values are equal: the bound that {clusters} of a kind allow")


def _few(variance: Variance, queries: int, items: int) -> str:
    """Says so where the interval is wide because there are few clusters rather than because of noise."""
    if variance.freedom >= 5:
        return ""
    vary = ", ".join(f"{k} {what}" for k, what in ((queries, "queries"), (items, "items")) if k > 1)
    return f"few clusters ({vary}): t with {variance.freedom:.1f} degrees of freedom"


def _both(first: str, second: str) -> str:
    return "; ".join(note for note in (first, second) if note)
