"""Means from few people's ratings and many judge's scores: prediction-powered inference on crossed samples.

A judge scores every sample, people rate a part of them that was drawn at random. The judge's mean plus what the judge
is off by, measured where both rated, has no bias whatever the judge does (Angelopoulos, Bates, Fannjiang, Jordan and
Zrnic 2023, Science 382:669). How far to lean on the judge is a number that the data choose (Angelopoulos, Duchi and
Zrnic 2023, "PPI++", arXiv:2311.01453): at 0 only people count. As the rated samples are a part of all, this is the
regression estimator of survey sampling.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindgap.core.estimate import Estimate
from mindgap.stats.bootstrap import UNBOUNDED, Bounds, clip, crossed_mean, t_quantile
from mindgap.stats.crossed import CrossedTable, codes, taken_as_it_is, variance_of_mean

FEWEST_RATINGS = 4
"""Ratings below which no interval is given: a spread seen in two or three numbers says next to nothing."""


@dataclass(frozen=True)
class Anchored:
    """One mean, told three ways.

    Attributes:
        anchored: From ratings and scores together.
        people: From ratings alone.
        judge: From scores alone.
        power: How far the judge is leant on, 0 to 1.
        ratings: Samples that people rated and the judge scored.
    """

    anchored: Estimate
    people: Estimate
    judge: Estimate
    power: float
    ratings: int


def anchored_mean(
    people: np.ndarray,
    judge: np.ndarray,
    queries: Sequence[Hashable] | np.ndarray,
    items: Sequence[Hashable] | np.ndarray,
    *,
    power: float | None = None,
    bounds: Bounds = UNBOUNDED,
    level: float = 0.95,
    **settings: Any,
) -> Anchored:
    """Mean over all samples of what people would say, with an interval for other queries and items of the same kind.

    With n of N samples rated, each sample gets the pseudo-value `power * judge + mean rest`, and a rated one besides N
    / n times its own rest's distance from the mean rest, where rest = people - power * judge. Their mean is the
    estimate, so its variance is that of a crossed mean (`mindgap.stats.crossed`), which sees how scores and rests vary
    by query and by item. Degrees of freedom are at most those of the ratings.

    Args:
        people: Ratings, float `[samples]`, NaN = not rated. Rated samples must be a random part of all, every sample
            being as likely as any other.
        judge: Scores, float `[samples]`, NaN = not scored; such a sample cannot enter and counts as missing.
        queries: Each sample's query, `[samples]`.
        items: Each sample's item, `[samples]`.
        power: 0 to 1, if it was tuned on more than these samples (`tuned_power`); None tunes it here.
        bounds: Lowest and highest value there can be.
        level: Of the intervals.
        settings: Of `crossed_mean`, for the means of one kind alone.

    Raises:
        ValueError: The lengths differ, or `power` is not in [0, 1].
    """
    people, judge = np.asarray(people, dtype=float), np.asarray(judge, dtype=float)
    if not len(people) == len(judge) == len(queries) == len(items):
        raise ValueError("people, judge, queries and items need one value per sample each")
    if power is not None and not 0 <= power <= 1:
        raise ValueError(f"power is between 0 and 1, not {power}")
    query, query_labels = codes(queries)
    item, item_labels = codes(items)
    settings = {"bounds": bounds, "level": level, **settings}

    def alone(values: np.ndarray) -> Estimate:
        present = ~np.isnan(values)
        return crossed_mean(values[present], query[present], item[present], **settings)

    scored = ~np.isnan(judge)
    both = scored & ~np.isnan(people)
    chosen = tuned_power([(people, judge)]) if power is None else power
    spent = 1 if power is not None or chosen == 0 else 2
    n, total, missing = int(both.sum()), int(scored.sum()), int((~scored).sum())

    def told(estimate: Estimate) -> Anchored:
        return Anchored(estimate, alone(people), alone(judge), chosen, n)

    if n == 0:
        return told(Estimate(None, None, None, 0, missing, "no sample has both a rating and a score"))
    rest = (people - chosen * judge)[both]
    value = float(chosen * judge[scored].mean() + rest.mean())
    if n < FEWEST_RATINGS:
        note = f"{n} ratings are too few for an interval"
        return told(Estimate(_within(value, bounds), None, None, n, missing, note))
    agreed = bool(np.ptp(rest) < 1e-9)
    if agreed and None in bounds:
        note = "the judge is off by the same everywhere: no interval can be had from that"
        return told(Estimate(_within(value, bounds), None, None, n, missing, note))
    pseudo = np.full(len(people), np.nan)
    pseudo[scored] = chosen * judge[scored] + rest.mean()
    pseudo[both] += total / n * (n / (n - spent)) ** 0.5 * (rest - rest.mean())
    levels = (len(query_labels), len(item_labels))
    table = CrossedTable.of(pseudo, query, item, levels).given(taken_as_it_is(*levels))
    if max(table.levels) == 1:
        note = "one query and one item give no interval"
        return told(Estimate(_within(value, bounds), None, None, n, missing, note))
    variance = variance_of_mean(table)
    freedom = min(variance.freedom, n - spent)
    error = t_quantile(level, freedom) * variance.total**0.5
    low, high = value - error, value + error
    note = f"few ratings: t with {freedom:.1f} degrees of freedom" if freedom < 5 else ""
    if agreed:
        unseen, clusters = _unseen(query[both], item[both], level)
        floor, ceiling = (float(bound) for bound in bounds if bound is not None)
        low, high = low - unseen * (value - floor), high + unseen * (ceiling - value)
        note = f"the judge is off by the same everywhere: wider by what {clusters} of a kind leave open"
    low, high = clip((low, high), bounds)
    return told(Estimate(_within(value, bounds), low, high, n, missing, note))


def tuned_power(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """How far to lean on the judge: the slope of ratings over scores, which gives the shortest interval.

    The slope is within cells, so that what a judge thinks of a cell as a whole is left to the correction.

    Args:
        pairs: Ratings and scores `[samples]` each, NaN = not there; a pair for each cell.

    Returns:
        0 to 1; 0 where the judge gives every rated sample one score.
    """
    product = square = 0.0
    for people, judge in pairs:
        both = ~np.isnan(people) & ~np.isnan(judge)
        if both.sum() > 1:
            score = judge[both] - judge[both].mean()
            product += float(score @ people[both])
            square += float(score @ score)
    return min(1.0, max(0.0, product / square)) if square > 0 else 0.0


def _unseen(query: np.ndarray, item: np.ndarray, level: float) -> tuple[float, int]:
    """Largest share of items (queries, if there is one item) that could differ from those seen, which all agree; and
    how many were seen. The exact binomial tail, as for any mean without variation (`mindgap.stats.bootstrap`)."""
    items, queries = len(np.unique(item)), len(np.unique(query))
    clusters = items if items > 1 else queries
    return 1 - ((1 - level) / 2) ** (1 / clusters), clusters


def _within(value: float, bounds: Bounds) -> float:
    return clip((value, value), bounds)[0]
