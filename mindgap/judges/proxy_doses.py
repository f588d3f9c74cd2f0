"""What a sweep over doses says of coherence without a rater: more of the same steering leaves no more of it.

The order of a pair of replies enters the ridge regression as a squared hinge: a pair in the right order by a margin
costs nothing. The minimum is found by least squares again and again over the pairs that are violated (a Newton step of
the piecewise quadratic loss: Keerthi & DeCoste 2005, JMLR 6).
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from mindgap.core.records import JudgeRequest

CLEARLY = 0.4
"""Least difference of relative doses between two replies whose order of coherence is taken for known."""
MOST_ROUNDS = 50
"""Of least squares. A handful is usual; after that the violated pairs no longer change."""


@dataclass(frozen=True)
class DosedResponse:
    """A response at a relative dose.

    Attributes:
        series: What responses share that differ in dose alone: model, method, query, item, epoch.
        method: What people call the method.
        dose: Relative dose; 0 = not steered.
        request: What a judge is shown.
    """

    series: Hashable
    method: str
    dose: float
    request: JudgeRequest


def ordered_pairs(dosed: Sequence[DosedResponse], clearly: float = CLEARLY) -> np.ndarray:
    """Pairs of a series whose doses differ clearly.

    Args:
        dosed: The responses.
        clearly: Least difference of their doses.

    Returns:
        Indices of the response at the lower dose and of that at the higher, `[pairs, 2]`.
    """
    members: dict[Hashable, list[int]] = {}
    for index, response in enumerate(dosed):
        members.setdefault(response.series, []).append(index)
    pairs = [
        (low, high)
        for series in members.values()
        for low, high in itertools.permutations(series, 2)
        if dosed[high].dose - dosed[low].dose >= clearly - 1e-9
    ]
    return np.array(pairs, dtype=int).reshape(-1, 2)


def share_in_order(scores: np.ndarray, pairs: np.ndarray) -> float:
    """Share of pairs in which the response at the higher dose scores lower; equal scores count half. NaN without pairs.

    Args:
        scores: Of the responses.
        pairs: As `ordered_pairs` gives them.
    """
    if not len(pairs):
        return float("nan")
    falls = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return float(((falls > 0) + 0.5 * (falls == 0)).mean())


def solve_in_order(
    sums: np.ndarray, falls: np.ndarray, penalty: float, weight: float, margin: float
) -> tuple[float, np.ndarray]:
    """Ridge regression under a squared hinge on pairs.

    Args:
        sums: Sums of products of [1, columns, score] over the scored responses.
        falls: Columns at the lower dose less columns at the higher one, `[pairs, columns]`; may have no rows.
        penalty: Of the squared weights; the intercept is not penalised.
        weight: Of a pair, in units of responses.
        margin: Points that the value should fall by from the lower to the higher dose.

    Returns:
        Intercept and weights.
    """
    rows = np.hstack([np.zeros((len(falls), 1)), falls, np.full((len(falls), 1), margin)])
    violated = np.zeros(len(falls), dtype=bool)
    for _ in range(MOST_ROUNDS):
        wrong = rows[violated]
        solved = _solve(sums + weight * wrong.T @ wrong, penalty)
        now = falls @ solved[1:] < margin
        if (now == violated).all():
            break
        violated = now
    return float(solved[0]), solved[1:]


def _solve(sums: np.ndarray, penalty: float) -> np.ndarray:
    gram = sums[:-1, :-1] + penalty * np.eye(len(sums) - 1)
    gram[0, 0] -= penalty
    solved: np.ndarray = np.linalg.solve(gram, sums[:-1, -1])
    return solved
