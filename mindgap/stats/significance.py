"""Whether a mean of paired differences is distinguishable from none, and the correction for many such tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mindgap.stats.crossed import CrossedTable, variance_of_mean

Correction = Literal["holm", "bh"]

UNEVEN = 1.75
"""`unevenness` above which a family of tests may claim more than it should (docs/statistics.md)."""


@dataclass(frozen=True)
class Test:
    """A test's result.

    Attributes:
        p: Two-sided; None where nothing can be tested.
        method: Which test it is, or why there is none.
    """

    p: float | None
    method: str


def no_difference(table: CrossedTable) -> Test:
    """Test that paired differences are 0 on average over all queries and items of the kind.

    Student's t on the two-way variance of the mean, with Satterthwaite's degrees of freedom, which is what the
    interval and the power are made of; and the same with the skewness of the query and item means taken out (Hall 1992,
    Journal of the Royal Statistical Society B 54:221). The larger of the two p-values counts: the first is too sure
    where effects are skewed, the second where they are few. docs/statistics.md has its measured error rates.

    Args:
        table: The paired differences by query and item.
    """
    from scipy import special

    if not table.counts.any():
        return Test(None, "no pairs")
    if not np.any(table.sums):
        return Test(1.0, "no difference in any query and item")
    if max(table.levels) < 2:
        return Test(None, "one query and one item give no test")
    variance = variance_of_mean(table)
    if variance.total <= np.finfo(float).eps * table.mean**2:
        return Test(None, "equal differences everywhere: no variation to test against")
    error = variance.total**0.5
    t = table.mean / error
    skewness = third_moment(table) / error**3
    p = 2 * float(special.stdtr(variance.freedom, -min(abs(t), abs(straightened(t, skewness)))))
    return Test(p, f"t test over queries and items, {variance.freedom:.1f} degrees of freedom")


def straightened(t: float, skewness: float) -> float:
    """t with the skewness of the mean taken out: Hall's monotone cubic.

    Args:
        t: The mean in standard errors.
        skewness: Of the mean.
    """
    return t + skewness * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / 27


def least_t(freedom: np.ndarray, skewness: np.ndarray, alpha: float) -> np.ndarray:
    """The smallest positive t with which `no_difference` rejects: what straightens to the quantile, or the quantile.

    Args:
        freedom: Degrees of freedom, `[...]`.
        skewness: Of the mean, `[...]`.
        alpha: Of the test.

    Returns:
        `[...]`.
    """
    from scipy import special

    quantile = special.stdtrit(freedom, 1 - alpha / 2)
    curved = np.where(skewness == 0, 1.0, skewness)
    inverse = 3 * (np.cbrt(1 + curved * (quantile - curved / 6)) - 1) / curved
    least: np.ndarray = np.where(skewness == 0, quantile, np.maximum(quantile, inverse))
    return least


def third_moment(table: CrossedTable) -> float:
    """Third central moment of the mean, from what each query and each item adds to it; 0 from fewer than three."""
    residual = (table.sums - table.counts * table.mean) / table.counts.sum()
    total = 0.0
    for axis, levels in enumerate(table.levels):
        if levels > 2:
            total += levels**2 / ((levels - 1) * (levels - 2)) * float((residual.sum(1 - axis) ** 3).sum())
    return total


def unevenness(tables: Sequence[CrossedTable]) -> float:
    """How skewed the query and item means of a family of tests are: about 1 for normal effects, above `UNEVEN` seldom.

    The mean of squared skewness over its variance under normality (Cramér 1946, section 29.3), of each table and
    factor with three levels or more, weighted by how much of the variance of the mean the factor decides. One-sided
    effects of a few queries are what makes `no_difference` claim too much, and a single table is too small to show
    them; all tests of a family together are not.

    Args:
        tables: The paired differences of each test.
    """
    total = weights = 0.0
    for table in tables:
        if not table.counts.any() or not np.any(table.sums):
            continue
        variance = variance_of_mean(table)
        for axis, decided in enumerate((variance.queries, variance.items)):
            counts = table.counts.sum(1 - axis)
            means = table.sums.sum(1 - axis)[counts > 0] / counts[counts > 0]
            alone = min(table.counts.shape) == 1
            weight = float(alone) if variance.total == 0 or alone else decided / variance.total
            if len(means) < 3 or np.ptp(means) == 0:
                continue
            total += weight * _squared_skewness(means)
            weights += weight
    return total / weights if weights > 0 else 0.0


def _squared_skewness(values: np.ndarray) -> float:
    """Squared sample skewness in units of its variance under normality."""
    k = len(values)
    deviations = values - values.mean()
    skewness = k / ((k - 1) * (k - 2)) * ((deviations / values.std(ddof=1)) ** 3).sum()
    return float(skewness**2 * (k - 2) * (k + 1) * (k + 3) / (6 * k * (k - 1)))


def adjust(p_values: Sequence[float | None], correction: Correction = "holm") -> tuple[float | None, ...]:
    """p-values corrected for their number.

    Args:
        p_values: None stays None and does not count as a test.
        correction: Holm's (family-wise error) or Benjamini and Hochberg's (`bh`, false discoveries).
    """
    known = np.array([p for p in p_values if p is not None])
    count = len(known)
    order = np.argsort(known)
    adjusted = np.empty(count)
    if correction == "holm":
        adjusted[order] = np.maximum.accumulate(known[order] * np.arange(count, 0, -1))
    else:
        raised = known[order] * count / np.arange(1, count + 1)
        adjusted[order] = np.minimum.accumulate(raised[::-1])[::-1]
    result = iter(np.minimum(adjusted, 1.0).tolist())
    return tuple(None if p is None else next(result) for p in p_values)
