"""How far judges of the same samples agree: rank correlation, weighted kappa, Krippendorff's alpha, with intervals.

Every coefficient is computed from weighted samples, so a bootstrap resample (`crossed.Resampling`: queries and items
drawn with replacement) is the same computation under other weights. Intervals are percentiles of those resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from mindgap.core.estimate import Estimate
from mindgap.stats.crossed import Resampling, codes

Label = TypeVar("Label", bound=Hashable)

Level = Literal["interval", "ordinal"]
"""Whether distances between scores count as they are, or by the ranks between them."""

Coefficient = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From ratings `[raters, samples]` and weights `[resamples, samples]` to a value for each resample, NaN = undefined."""

RESAMPLES = 2_000
FEW = 6
"""Clusters of a kind below which percentiles of a bootstrap are known to be too narrow."""
UNDEFINED = "undefined: the scores do not vary"


@dataclass(frozen=True)
class Agreement:
    """Agreement of two judges over the samples that both scored. `missing` counts those that only one or none did.

    Attributes:
        spearman: Rank correlation.
        kappa: Cohen's, with quadratic weights.
        alpha: Krippendorff's, distances between scores counted as they are.
        alpha_ordinal: Krippendorff's, distances counted by the ranks between scores.
    """

    spearman: Estimate
    kappa: Estimate
    alpha: Estimate
    alpha_ordinal: Estimate


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation, ties at their middle rank.

    Args:
        a: Scores of one judge, `[samples]`, NaN = none.
        b: Scores of the other.

    Returns:
        NaN where no pair is complete, or one of the two does not vary.
    """
    return _plain(_spearman, np.stack(_equal(a, b)))


def quadratic_kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968, Psychological Bulletin 70:213).

    Scores are first rounded to the whole numbers 1 to 5, halves upwards, so that a judge that gives expected scores can
    be compared with one that gives whole ones.

    Args:
        a: Scores of one judge, `[samples]`, NaN = none.
        b: Scores of the other.

    Returns:
        NaN where no pair is complete, or both gave one and the same score throughout.
    """
    return _plain(_kappa, np.stack(_equal(a, b)))


def krippendorff_alpha(ratings: np.ndarray, level: Level = "interval") -> float:
    """Krippendorff's alpha of any number of raters (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability).

    Args:
        ratings: `[raters, samples]`, NaN = not rated. Samples with fewer than two ratings say nothing and are left out.
        level: How distances between ratings count.

    Returns:
        NaN where no sample is left, or all ratings are equal.
    """
    return _plain(_ALPHA[level], np.asarray(ratings, dtype=float))


def agreement(
    a: np.ndarray,
    b: np.ndarray,
    queries: Sequence[Hashable] | np.ndarray,
    items: Sequence[Hashable] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Agreement:
    """All coefficients of two judges' scores with intervals.

    Cells of a sweep share queries and items: give the samples of all cells, and a query that is drawn is drawn in all.

    Args:
        a: Scores of one judge, `[samples]`, NaN = none.
        b: Scores of the other.
        queries: Each sample's query, `[samples]`.
        items: Each sample's item, `[samples]`.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
    """
    ratings = np.stack(_equal(a, b))
    coefficients = (_spearman, _kappa, _ALPHA["interval"], _ALPHA["ordinal"])
    return Agreement(*_estimates(coefficients, ratings, queries, items, seed, resamples, level))


def agreement_by_query(
    a: np.ndarray,
    b: np.ndarray,
    queries: Sequence[Label] | np.ndarray,
    items: Sequence[Hashable] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[Label, Agreement]:
    """`agreement` within each query, in the order they first occur; then only items are draws from many.

    Args:
        a: Scores of one judge, `[samples]`, NaN = none.
        b: Scores of the other.
        queries: Each sample's query, `[samples]`.
        items: Each sample's item, `[samples]`.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
    """
    first, second = _equal(a, b)
    labels = list(queries)
    agreements = {}
    for query in dict.fromkeys(labels):
        of_query = [place for place, label in enumerate(labels) if label == query]
        of_items = [items[place] for place in of_query]
        agreements[query] = agreement(
            first[of_query],
            second[of_query],
            [query] * len(of_query),
            of_items,
            seed=seed,
            resamples=resamples,
            level=level,
        )
    return agreements


def alpha_estimate(
    ratings: np.ndarray,
    queries: Sequence[Hashable] | np.ndarray,
    items: Sequence[Hashable] | np.ndarray,
    scale: Level = "interval",
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Estimate:
    """`krippendorff_alpha` of any number of raters, with its interval. Its `n` counts samples with two ratings or more.

    Args:
        ratings: `[raters, samples]`, NaN = not rated.
        queries: Each sample's query, `[samples]`.
        items: Each sample's item, `[samples]`.
        scale: How distances between ratings count.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
    """
    coefficients = (_ALPHA[scale],)
    (estimate,) = _estimates(coefficients, np.asarray(ratings, dtype=float), queries, items, seed, resamples, level)
    return estimate


def _equal(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"scores of two judges must be two lists of equal length, not {a.shape} and {b.shape}")
    return a, b


def _pairable(ratings: np.ndarray) -> np.ndarray:
    """Samples with two ratings or more, bool `[samples]`."""
    counts: np.ndarray = (~np.isnan(ratings)).sum(0) >= 2
    return counts


def _plain(coefficient: Coefficient, ratings: np.ndarray) -> float:
    kept = ratings[:, _pairable(ratings)]
    return float(coefficient(kept, np.ones((1, kept.shape[1])))[0]) if kept.size else float("nan")


def _estimates(
    coefficients: Sequence[Coefficient],
    ratings: np.ndarray,
    queries: Sequence[Hashable] | np.ndarray,
    items: Sequence[Hashable] | np.ndarray,
    seed: int,
    resamples: int,
    level: float,
) -> list[Estimate]:
    if not ratings.shape[1] == len(queries) == len(items):
        raise ValueError(f"{ratings.shape[1]} samples, {len(queries)} queries and {len(items)} items: one of each")
    kept = _pairable(ratings)
    n, missing = int(kept.sum()), int((~kept).sum())
    if n == 0:
        return [Estimate(None, None, None, 0, missing, "no sample was scored by two")] * len(coefficients)
    places = np.flatnonzero(kept).tolist()
    query, query_labels = codes([queries[place] for place in places])
    item, item_labels = codes([items[place] for place in places])
    pairs = ratings[:, kept]
    values = [float(coefficient(pairs, np.ones((1, n)))[0]) for coefficient in coefficients]
    levels = len(query_labels), len(item_labels)
    if max(levels) == 1:
        note = "one query and one item give no interval"
        return [_bounded(value, None, n, missing, note, level) for value in values]
    blocks = Resampling(*levels, resamples, seed).weights(query, item)
    drawn = np.concatenate(
        [np.stack([coefficient(pairs, weights) for coefficient in coefficients]) for weights in blocks], axis=1
    )
    few = [f"{k} {what}" for k, what in zip(levels, ("queries", "items"), strict=True) if 1 < k < FEW]
    note = f"few clusters ({' and '.join(few)}): the interval may be too narrow" if few else ""
    return [_bounded(value, row, n, missing, note, level) for value, row in zip(values, drawn, strict=True)]


def _bounded(value: float, drawn: np.ndarray | None, n: int, missing: int, note: str, level: float) -> Estimate:
    if np.isnan(value):
        return Estimate(None, None, None, n, missing, UNDEFINED)
    if drawn is None:
        return Estimate(value, None, None, n, missing, note)
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < 0.9 * len(drawn):  # the percentiles of what is left would be those of another question
        return Estimate(value, None, None, n, missing, "too little variation in the scores for an interval")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n, missing, note)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above / below`, NaN where `below` is 0 but for rounding."""
    tiny = 1e-12
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > tiny)


def _spearman(ratings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    a, b = (_weighted_ranks(row, weights) for row in ratings)
    total = weights.sum(1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nothing: undefined
        a, b = a / total, b / total
        a, b = (x - (weights * x).sum(1)[:, None] / total for x in (a, b))
        together, of_a, of_b = ((weights * product).sum(1) / total[:, 0] for product in (a * b, a * a, b * b))
        return np.clip(_ratio(together, np.sqrt(of_a * of_b)), -1, 1)


def _kappa(ratings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """1 - observed / expected squared distance; the expected one is that of scores drawn from each judge alone."""
    a, b = np.clip(np.floor(ratings + 0.5), 1, 5)
    total = weights.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_a, mean_b, square_a, square_b, apart = (weights @ x / total for x in (a, b, a * a, b * b, (a - b) ** 2))
        return 1 - _ratio(apart, square_a + square_b - 2 * mean_a * mean_b)


def _alpha_interval(ratings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    present = ~np.isnan(ratings)
    counts = present.sum(0)
    values = np.where(present, ratings, 0.0)
    within = (values**2).sum(0) - values.sum(0) ** 2 / counts
    return _alpha(
        weights @ (counts / (counts - 1) * within),
        weights @ counts.astype(float),
        weights @ values.sum(0),
        weights @ (values**2).sum(0),
    )


def _alpha_ordinal(ratings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The ordinal distance of two scores is the number of ratings between their middles: that of their middle ranks."""
    present = ~np.isnan(ratings)
    counts = present.sum(0)
    sample = np.nonzero(present)[1]
    of_ratings = weights[:, sample]
    ranks = _weighted_ranks(ratings[present], of_ratings)
    total = of_ratings.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks = ranks / total[:, None]  # a share: squares of ranks themselves lose digits
    sums, squares = np.zeros_like(weights), np.zeros_like(weights)
    start = 0
    for rated in present:
        rater_ranks = ranks[:, start : start + rated.sum()]
        sums[:, rated] += rater_ranks
        squares[:, rated] += rater_ranks**2
        start += rater_ranks.shape[1]
    within = squares - sums**2 / counts
    return _alpha(
        (weights * (counts / (counts - 1)) * within).sum(1),
        total,
        (weights * sums).sum(1),
        (weights * squares).sum(1),
    )


def _alpha(within: np.ndarray, n: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """1 - observed / expected disagreement, from sums of squares over `n` ratings: within samples, and in all."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - _ratio(within / n, (squares - total**2 / n) / (n - 1))


_ALPHA: dict[Level, Coefficient] = {"interval": _alpha_interval, "ordinal": _alpha_ordinal}


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Middle rank of each of `values` `[n]` where each counts `weights` times: `[resamples, n]`."""
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    held = np.add.reduceat(weights[:, order], starts, axis=1)
    middle: np.ndarray = (np.cumsum(held, axis=1) - held / 2)[:, place]
    return middle
