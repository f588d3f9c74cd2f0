"""Tests of no difference at the level of clusters, and their correction for being many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mindgap.stats.crossed import CrossedTable, Design, variance_of_mean

FEWEST_CLUSTERS = 6
"""Sign patterns of fewer clusters are so few that no two-sided p-value below 0.05 exists."""

_BLOCK = 2_000_000
"""Numbers held at once, per array: 16 MB."""

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


def sign_flip(table: CrossedTable, *, seed: int = 0, resamples: int = 10_000) -> Test:
    """Test that paired differences are as often of one sign as of the other, whole clusters at a time.

    If a method changes nothing, the differences of a query might as well have had the opposite sign, all together. The
    p-value is the share of sign patterns whose mean lies at least as many standard errors (two-way, of the flipped
    differences) from zero as the observed one: a wild cluster bootstrap with the null imposed and the factor of fewer
    levels flipped, as MacKinnon, Nielsen and Webb (2021, Journal of Business & Economic Statistics 39:505) recommend
    for two-way clusters. All patterns are used where they are at most `resamples`, up to their mirror image. With fewer
    than `FEWEST_CLUSTERS` clusters of either kind it is a t test with the degrees of freedom of the interval instead.

    Args:
        table: The paired differences by query and item.
        seed: Of the random patterns.
        resamples: Most patterns.
    """
    if not table.counts.any():
        return Test(None, "no pairs")
    if not np.any(table.sums):
        return Test(1.0, "no difference in any query and item")
    levels = [(count, axis) for axis, count in enumerate(table.levels) if count > 1]
    if not levels:
        return Test(None, "one query and one item give no test")
    fewest, axis = min(levels)
    if fewest < FEWEST_CLUSTERS:
        return _t_test(table, fewest)
    sums, counts = (table.sums, table.counts) if axis == 0 else (table.sums.T, table.counts.T)
    held = counts.any(1)
    sums, counts = sums[held], counts[held]
    patterns = _patterns(fewest, seed, resamples, max(1, _BLOCK // max(sums.shape)))
    distances = np.concatenate([_distances(sums, counts, signs) for signs in patterns])
    more_extreme = int((distances >= distances[0] * (1 - 1e-9)).sum())
    kind = f"{'all' if _exact(fewest, resamples) else 'random'} sign flips of {fewest}"
    return Test(more_extreme / len(distances), f"{kind} {'queries' if axis == 0 else 'items'}")


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


def _t_test(table: CrossedTable, fewest: int) -> Test:
    from scipy import special

    variance = variance_of_mean(table)
    if variance.total == 0:
        return Test(None, "equal differences everywhere: no variation to test against")
    t = abs(table.mean) / variance.total**0.5
    p = 2 * float(special.stdtr(variance.freedom, -t))
    return Test(p, f"t test, {variance.freedom:.1f} degrees of freedom: {fewest} clusters are too few for sign flips")


def _exact(clusters: int, resamples: int) -> bool:
    return 2 ** (clusters - 1) <= resamples


def _patterns(clusters: int, seed: int, resamples: int, block: int) -> Iterator[np.ndarray]:
    """Sign patterns, the observed one first, in blocks `[at most block, clusters]`: all there are, or random ones.

    A pattern and its mirror image are equally far from zero, so of all patterns those with the last sign kept do.
    """
    if _exact(clusters, resamples):
        count = 2 ** (clusters - 1)
        for start in range(0, count, block):
            bits = np.arange(start, min(start + block, count))[:, None] >> np.arange(clusters) & 1
            yield 1.0 - 2.0 * bits
        return
    yield np.ones((1, clusters))
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        yield generator.integers(0, 2, (min(block, resamples - start), clusters)) * 2.0 - 1.0


def _distances(sums: np.ndarray, counts: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Distance of the mean from zero in standard errors under each sign pattern of the rows: `[patterns]`.

    Args:
        sums: `[rows, columns]`.
        counts: `[rows, columns]`.
        signs: `[patterns, rows]`.
    """
    total = counts.sum()
    of_rows, in_rows, in_columns = sums.sum(1), counts.sum(1), counts.sum(0)
    means = signs @ of_rows / total
    # Squares of (sign × sum - count × mean), multiplied out so that no [patterns, rows, columns] array is needed.
    rows = (of_rows**2).sum() - 2 * means * (signs @ (of_rows * in_rows)) + means**2 * (in_rows**2).sum()
    columns = ((signs @ sums - np.outer(means, in_columns)) ** 2).sum(1)
    cells = (sums**2).sum() - 2 * means * (signs @ (sums * counts).sum(1)) + means**2 * (counts**2).sum()
    variances = Design(counts).split(np.stack([rows, columns, cells], axis=1)).sum(1)
    # Rounding leaves a trace where all clusters agree; such a pattern is as extreme as can be, not undefined.
    floor = 1e-12 * (sums**2).sum() / total**2
    distances: np.ndarray = np.abs(means) / np.sqrt(np.maximum(variances, floor))
    return distances
