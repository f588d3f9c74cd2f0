"""Whether a mean of paired differences is distinguishable from none, and the correction for many such tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mindgap.stats.crossed import CrossedTable, variance_of_mean

Correction = Literal["holm", "bh"]


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
    straightened = t + skewness * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / 27
    p = 2 * float(special.stdtr(variance.freedom, -min(abs(t), abs(straightened))))
    return Test(p, f"t test over queries and items, {variance.freedom:.1f} degrees of freedom")


def third_moment(table: CrossedTable) -> float:
    """Third central moment of the mean, from what each query and each item adds to it; 0 from fewer than three."""
    residual = (table.sums - table.counts * table.mean) / table.counts.sum()
    total = 0.0
    for axis, levels in enumerate(table.levels):
        if levels > 2:
            total += levels**2 / ((levels - 1) * (levels - 2)) * float((residual.sum(1 - axis) ** 3).sum())
    return total


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
