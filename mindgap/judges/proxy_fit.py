"""Fits the proxy judge to recorded scores: ridge regression, then a monotone line from its value to the scale.

Sweeps over doses may be added: they say nothing of a score, but which of two replies is the less coherent one. The
frame (what a usual value of a feature is, which directions of meaning there are) is learned from all texts, without
their scores. Everything that sees scores is fitted per fold when agreement is estimated.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindgap.core.records import JudgeRequest
from mindgap.judges.proxy_anchors import anchors
from mindgap.judges.proxy_design import Described, closeness, describe_responses, normal
from mindgap.judges.proxy_doses import DosedResponse, ordered_pairs, solve_in_order
from mindgap.judges.proxy_model import Calibration, Frame, Map, Standard
from mindgap.judges.proxy_text import without_markup
from mindgap.text.embedding import Embedder

AXES = 32
PENALTY = 100.0
"""Of the squared weights, in units of responses. Chosen by leave-one-query-out among 100, 300, 1,000 and 3,000."""
ANCHORS, ANCHOR_WEIGHT = 60, 0.4
SHORT_SHARE, SHORT_WEIGHT, SHORT_FROM = 0.15, 1.0, 4
"""Of the responses that score at least `SHORT_FROM`, this share is added once more, cut to its first words: what is
coherent at length is so in its beginning, and the replies that will be judged are short."""
ORDER_SHARE, ORDER_MARGIN = 0.05, 1.0
"""What all pairs of doses together weigh, as a share of the scored responses, and the points that coherence should
fall by between the two of a pair. Of 0.05, 0.1 and 0.2 the first costs the agreement with the scores least."""
KNOTS = (0, 0.5, 1, 2, 3.5, 5, 8, 12, 17, 25, 35, 45, 55, 65, 75, 85, 92, 97, 100)
"""Percentiles between which values are averaged for the monotone line: finer at the low end, where collapse is."""


@dataclass(frozen=True)
class ScoredResponse:
    """A recorded response and its scores.

    Attributes:
        source: Name of the file.
        judge: Who scored it.
        method: How it was steered.
        request: What a judge is shown.
        behaviour: The score; NaN = missing.
        coherence: The score; NaN = missing.
    """

    source: str
    judge: str
    method: str
    request: JudgeRequest
    behaviour: float
    coherence: float


@dataclass(frozen=True)
class Extra:
    """Texts made from recorded responses.

    Attributes:
        described: The texts.
        source: Index of the response each was made from; it goes with it wherever that is held out, `[n]`.
        coherence: Scores, `[n]`.
        weight: How much each counts, `[n]`; 0 = not used.
    """

    described: Described
    source: np.ndarray
    coherence: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Fitting:
    """Recorded responses, described, and what is added to them.

    Attributes:
        scored: The responses.
        embedder: Makes vectors of texts; None = by words alone.
        dosed: Responses of sweeps over doses, none of them empty: they have no scores, only an order.
        seed: Of the texts that are added.
        penalty: Of the squared weights.
    """

    scored: tuple[ScoredResponse, ...]
    embedder: Embedder | None
    dosed: tuple[DosedResponse, ...] = ()
    seed: int = 0
    penalty: float = PENALTY

    @cached_property
    def described(self) -> Described:
        """All responses in numbers."""
        return describe_responses([response.request for response in self.scored], self.embedder)

    @cached_property
    def described_doses(self) -> Described | None:
        """The responses of the sweeps in numbers; None without sweeps."""
        return describe_responses([response.request for response in self.dosed], self.embedder) if self.dosed else None

    @cached_property
    def frame(self) -> Frame:
        """Standards, directions of meaning and queries, learned without scores."""
        everything = [self.described, self.extra.described, *([self.described_doses] if self.described_doses else [])]
        meaning = np.vstack([described.meaning for described in everything])
        centre = meaning.mean(0)
        axes = np.linalg.eigh(np.cov(meaning.T))[1][:, ::-1][:, :AXES].T if meaning.shape[1] else np.zeros((0, 0))
        values = _standard(np.vstack([described.values for described in everything]))
        queries = tuple(dict.fromkeys(normal(response.request.query) for response in self.scored))
        return Frame(self.described.names, values, _standard(self.described.wish), centre, axes, queries)

    @cached_property
    def extra(self) -> Extra:
        """Short and ruined texts. Which texts they are made from does not depend on scores."""
        rng = random.Random(self.seed)
        chosen = [(place, rng.randint(15, 100)) for place in range(len(self.scored)) if rng.random() < SHORT_SHARE]
        cut = [(self.scored[place], words) for place, words in chosen]
        requests = [_with(whole.request, beginning(whole.request.response, words)) for whole, words in cut]
        coherence = np.array([whole.coherence for whole, _ in cut])
        ruined = anchors([response.request.response for response in self.scored], ANCHORS, self.seed)
        requests += [_with(self.scored[anchor.source].request, anchor.text) for anchor in ruined]
        return Extra(
            describe_responses(requests, self.embedder),
            np.array([place for place, _ in chosen] + [anchor.source for anchor in ruined]),
            np.array([*np.nan_to_num(coherence), *(anchor.coherence for anchor in ruined)]),
            np.array([*(SHORT_WEIGHT * (coherence >= SHORT_FROM)), *([ANCHOR_WEIGHT] * len(ruined))]),
        )

    def columns(self, target: str, known: Sequence[str]) -> np.ndarray:
        """Columns of all responses for a map.

        Args:
            target: `behaviour` or `coherence`.
            known: The queries that the map knows.
        """
        if target == "coherence":
            return self.frame.columns(self.described)
        queries = [response.request.query for response in self.scored]
        place = [self.frame.queries.index(query) for query in known]
        shares = np.zeros((len(queries), len(self.frame.queries)))
        shares[:, place] = closeness(queries, known, self.embedder)
        return self.frame.asked_columns(self.described, shares)

    def scores(self, target: str) -> np.ndarray:
        """Recorded scores of `behaviour` or `coherence`, `[n]`."""
        return np.array([getattr(response, target) for response in self.scored])

    def held_out(self, target: str, groups: Sequence[Hashable], only: np.ndarray | None = None) -> np.ndarray:
        """Score of each response by a calibration that saw none of its group.

        The queries that a calibration knows are those of the responses that it saw.

        Args:
            target: `behaviour` or `coherence`.
            groups: Of the responses.
            only: Score these, bool `[n]`; None = all.

        Returns:
            `[n]`, NaN for others than `only`.
        """
        return self._folds(target, groups, only)[1]

    def calibration(self) -> Calibration:
        """Fitted to everything; its monotone lines come from held-out values: unseen queries, unseen questions."""
        return Calibration(self.frame, self.map_of("behaviour"), self.map_of("coherence"))

    def map_of(self, target: str) -> Map:
        """The map to `behaviour` or `coherence`, fitted to everything."""
        folds: list[Sequence[Hashable]] = [
            [family(response.request.query) for response in self.scored],
            question_folds(self.scored),
        ]
        every = np.ones(len(self.scored), dtype=bool)
        intercept, weights = self._solved(target, self._sums(target, every))
        raw = np.concatenate([self._folds(target, groups, None)[0] for groups in folds])
        raw_corners, score_corners = monotone(raw, np.tile(self.scores(target), len(folds)))
        return Map(intercept, weights, raw_corners, score_corners)

    def _folds(self, target: str, groups: Sequence[Hashable], only: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Held-out values before and after the monotone line, which each fold fits to the responses it saw."""
        wanted = np.ones(len(self.scored), dtype=bool) if only is None else only
        labels = np.unique([str(group) for group in groups], return_inverse=True)[1]
        raw, mapped = np.full((2, len(self.scored)), np.nan)
        whole = self._sums(target, np.ones(len(self.scored), dtype=bool))
        scores = self.scores(target)
        for label in np.unique(labels[wanted]):
            away = labels == label
            known = [q for q in self.frame.queries if any(q == seen for seen in self._normal[~away])]
            intercept, weights = self._solved(target, whole - self._sums(target, away))
            columns = self.columns(target, known)
            values = intercept + columns @ weights
            raw_corners, score_corners = monotone(values[~away], scores[~away])
            raw[away], mapped[away] = values[away], np.clip(np.interp(values[away], raw_corners, score_corners), 1, 5)
        return np.where(wanted, raw, np.nan), np.where(wanted, mapped, np.nan)

    @cached_property
    def _normal(self) -> np.ndarray:
        return np.array([normal(response.request.query) for response in self.scored])

    @cached_property
    def _own(self) -> dict[str, np.ndarray]:
        return {target: self.columns(target, self.frame.queries) for target in ("behaviour", "coherence")}

    @cached_property
    def _falls(self) -> np.ndarray:
        """Columns of coherence at the lower dose less those at the higher, `[pairs, columns]`."""
        columns = self.frame.columns(self.described_doses) if self.described_doses else np.zeros((0, 0))
        pairs = ordered_pairs(self.dosed)
        falls: np.ndarray = columns[pairs[:, 0]] - columns[pairs[:, 1]]
        return falls

    def _solved(self, target: str, sums: np.ndarray) -> tuple[float, np.ndarray]:
        """Intercept and weights; the order of doses has its say in coherence alone."""
        falls = self._falls if target == "coherence" and self.dosed else np.zeros((0, len(sums) - 2))
        weight = ORDER_SHARE * len(self.scored) / max(1, len(falls))
        return solve_in_order(sums, falls, self.penalty, weight, ORDER_MARGIN)

    def _sums(self, target: str, among: np.ndarray) -> np.ndarray:
        """Sums of products of [1, columns, score] over the responses `among`, and over what was made from them."""
        scores = self.scores(target)
        kept = among & ~np.isnan(scores)
        sums = _products(self._own[target][kept], scores[kept], np.ones(int(kept.sum())))
        if target == "coherence":
            used = among[self.extra.source]
            columns = self.frame.columns(self.extra.described)[used]
            sums = sums + _products(columns, self.extra.coherence[used], self.extra.weight[used])
        return sums


def family(query: str) -> str:
    """Queries of a family are held out together, lest a calibration know the one held out in other words."""
    content = [word for word in re.findall(r"\w+", normal(query)) if word not in ("be", "more", "very", "like", "a")]
    return content[0] if content else normal(query)


def question_folds(scored: Sequence[ScoredResponse], count: int = 5) -> list[int]:
    """A fold for each response, the same for all responses to one question.

    Args:
        scored: The responses.
        count: How many folds.
    """
    questions = list(dict.fromkeys(response.request.question for response in scored))
    random.Random(0).shuffle(questions)
    place = {question: index % count for index, question in enumerate(questions)}
    return [place[response.request.question] for response in scored]


def beginning(response: str, count: int) -> str:
    """The first `count` words of `response`, without markup, as they stand."""
    text = without_markup(response)
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    return text if len(ends) <= count else text[: ends[count - 1]]


def monotone(values: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line that never falls through the means of scores by percentile of values (pool adjacent violators).

    Args:
        values: `[n]`, NaN = left out.
        scores: `[n]`, NaN = left out.

    Returns:
        Values and scores of the line's corners.
    """
    kept = ~(np.isnan(values) | np.isnan(scores))
    order = np.argsort(values[kept], kind="stable")
    values, scores = values[kept][order], scores[kept][order]
    edges = np.unique(np.round(np.array(KNOTS) / 100 * len(values)).astype(int))
    pools: list[tuple[int, int]] = []
    for pool in itertools.pairwise(edges.tolist()):
        pools.append(pool)
        while len(pools) > 1 and scores[slice(*pools[-2])].mean() >= scores[slice(*pools[-1])].mean():
            pools[-2:] = [(pools[-2][0], pools[-1][1])]
    line = [(values[slice(*pool)].mean(), scores[slice(*pool)].mean()) for pool in pools]
    return np.array([value for value, _ in line]), np.array([score for _, score in line])


def _standard(values: np.ndarray) -> Standard:
    low, high = np.quantile(values, [0.002, 0.998], axis=0)
    clipped = np.clip(values, low, high)
    sd = clipped.std(0)
    return Standard(low, high, clipped.mean(0), np.where(sd > 1e-9, sd, 1.0))


def _products(columns: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    table = np.hstack([np.ones((len(columns), 1)), columns, scores[:, None]])
    products: np.ndarray = (table * weights[:, None]).T @ table
    return products


def _with(request: JudgeRequest, response: str) -> JudgeRequest:
    return JudgeRequest(request.query, request.rubric, request.question, response)
