"""Steering made from words for clients: Auto Steer, conditions, contrastive data, contrast.

Auto Steer is the very one of `method=autosteer`, on a bench whose endpoint does its work in the model's thread, one
pass after another between the replies of other clients.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mindgap.backends.local import LocalEndpoint
from mindgap.backends.local.scoring import loglikelihood
from mindgap.backends.local.session import run
from mindgap.core.edits import Declined, FeatureEdit
from mindgap.core.errors import ConfigError, MindgapError
from mindgap.core.records import Completion, Message, OptionScores, OptionsRequest, Query, Request
from mindgap.ember.errors import RequestError
from mindgap.ember.inspection import collected, once
from mindgap.ember.worker import Worker
from mindgap.steering.autosteer import AutoSteer
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.specification import parse
from mindgap.steering.stimulus import Stimulus, stimulus
from mindgap.storage.store import Store

PAIRS = 8
"""Conversations in each half of a contrastive data set."""
CUE_PROMPTS = 24
"""Prompts whose replies, with the behaviour and without, tell which features are its cues."""
CONDITION_CANDIDATES = 32
MOST_CONDITIONS = 3
Texts = Sequence[Text]


class SharedEndpoint:
    """The endpoint for threads other than the model's: what needs the model is done there, the rest here."""

    def __init__(self, endpoint: LocalEndpoint, worker: Worker) -> None:
        self._endpoint, self._worker = endpoint, worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        return iter(self._worker.run(collected(run(self._endpoint.engine, requests))).result())

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        scored = ([scored_request] for scored_request in loglikelihood(self._endpoint.engine, requests))
        return iter(self._worker.run(collected(scored)).result())

    def residuals(self, texts: Texts, layer: int) -> np.ndarray:
        return self._there(lambda: self._endpoint.residuals(texts, layer))

    def residual_norms(self, texts: Texts, layer: int) -> np.ndarray:
        return self._there(lambda: self._endpoint.residual_norms(texts, layer))

    def feature_means(self, texts: Texts) -> np.ndarray:
        return self._there(lambda: self._endpoint.feature_means(texts))

    def feature_maxima(self, texts: Texts) -> np.ndarray:
        return self._there(lambda: self._endpoint.feature_maxima(texts))

    def likelihood_gradients(self, texts: Texts, layer: int) -> np.ndarray:
        return self._there(lambda: self._endpoint.likelihood_gradients(texts, layer))

    def _there(self, work: Callable[[], np.ndarray]) -> np.ndarray:
        made: np.ndarray = self._worker.run(once(work)).result()
        return made


@dataclass(frozen=True)
class Cue:
    """A feature whose activation says that a behaviour is shown: above `threshold`, in units of its scale."""

    feature: int
    threshold: float


class Maker:
    """Makes steering from specifications, one after the other, and remembers what it made."""

    def __init__(self, endpoint: LocalEndpoint, worker: Worker, autosteer: AutoSteer, store: Store, seed: int) -> None:
        shared = cast(LocalEndpoint, SharedEndpoint(endpoint, worker))
        self._bench = SteeringBench(shared, store, seed)
        self._autosteer = autosteer
        self._threads = ThreadPoolExecutor(1, "ember-steering")
        self._made: OrderedDict[tuple[str, str], Future[Any]] = OrderedDict()

    MOST_WAITING = 32
    MOST_REMEMBERED = 256

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def edits(self, specification: str) -> tuple[FeatureEdit, ...]:
        """What `method=autosteer` makes of it."""
        query = Query(specification, "")

        def make() -> tuple[FeatureEdit, ...]:
            (edits,) = self._autosteer.edits([query], self._bench)
            if isinstance(edits, Declined):
                raise ConfigError(edits.reason)
            return edits

        return await self._make("edits", specification, make)

    async def contrastive(self, specification: str) -> tuple[list[Text], list[Text]]:
        """Replies that nobody asked the behaviour of, and replies to the same prompts that show it."""

        def make() -> tuple[list[Text], list[Text]]:
            wanted, *_ = parse(specification)
            shown = self._stimulus(wanted.behaviour, PAIRS)
            halves = list(shown.neutral), list(shown.behaving)
            return halves if wanted.towards else halves[::-1]

        return await self._make("contrastive", specification, make)

    async def cues(self, specification: str) -> list[Cue]:
        """Features of which any tells that the behaviour is being shown."""
        return await self._make("cues", specification, lambda: self._cues(parse(specification)[0].behaviour))

    def _cues(self, behaviour: str) -> list[Cue]:
        """Thresholds on the largest activation in a reply that tell behaving from neutral replies best.

        Candidates are the features with the clearest contrast, weighted by meaning. The first is the one with the
        largest share of behaving replies found less share of neutral ones (Youden's J); others join by OR as long as
        they raise that.
        """
        features = self._bench.features
        shown = self._stimulus(behaviour, CUE_PROMPTS)
        asked, neutral = (self._bench.feature_means(texts) for texts in (shown.asked, shown.neutral))
        clear = contrasted(neutral, asked, features.scales)
        score = np.where(features.scales > 0, clear * (1 + features.relevance(behaviour)), -np.inf)
        candidates = [int(f) for f in np.argsort(-score, kind="stable")[:CONDITION_CANDIDATES] if score[f] > 0]
        if not candidates:
            raise ConfigError(f"no feature is more active where {behaviour!r} is shown. Word it differently")
        scales = features.scales[candidates]
        behaving, unasked = (
            features.feature_maxima(texts)[:, candidates] / scales for texts in (shown.behaving, shown.neutral)
        )
        hit, false = np.zeros(len(behaving), dtype=bool), np.zeros(len(unasked), dtype=bool)
        cues: list[Cue] = []
        best = 0.0
        for _ in range(MOST_CONDITIONS):
            trials = []
            for column, feature in enumerate(candidates):
                values = np.unique(np.concatenate([behaving[:, column], unasked[:, column]]))
                for threshold in (values[:-1] + values[1:]) / 2:
                    hits, falses = hit | (behaving[:, column] > threshold), false | (unasked[:, column] > threshold)
                    trials.append((float(hits.mean() - falses.mean()), -column, float(threshold), feature))
            if not trials or max(trials)[0] <= best + 1e-9:
                break
            best, minus_column, threshold, feature = max(trials)
            hit, false = hit | (behaving[:, -minus_column] > threshold), false | (unasked[:, -minus_column] > threshold)
            cues.append(Cue(feature, threshold))
        if not cues:
            raise ConfigError(f"no feature tells where {behaviour!r} is shown. Word it differently")
        return cues

    def _stimulus(self, behaviour: str, prompts: int) -> Stimulus:
        writer = self._autosteer.written_on(self._bench)
        return stimulus(self._bench, behaviour, prompts=prompts, writer=writer)

    async def _make(self, kind: str, specification: str, make: Callable[[], Any]) -> Any:
        """What `make` makes, once for all who ask. It is made to the end even if they go, and is there next time."""
        key = (kind, specification)
        future = self._made.get(key)
        if future is None or (future.done() and (future.cancelled() or future.exception() is not None)):
            if sum(not edits.done() for edits in self._made.values()) >= self.MOST_WAITING:
                raise RequestError(429, "Rate limit exceeded: many specifications are waiting.", retry_after=30)
            future = self._made[key] = self._threads.submit(make)
        self._made.move_to_end(key)
        while len(self._made) > self.MOST_REMEMBERED and next(iter(self._made.values())).done():
            self._made.popitem(last=False)
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except (MindgapError, ValueError) as error:
            raise RequestError(400, str(error)) from error


def contrasted(means_1: np.ndarray, means_2: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """How clearly each feature is more active in the second of paired data sets: a t statistic, `[features]`.

    Differences are in units of the scale; a hundredth of it is added to the standard error, so that a feature active
    in one conversation alone does not look certain. 0 where there is no scale.

    Args:
        means_1: `[pairs, features]`.
        means_2: `[pairs, features]`.
        scales: `[features]`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.where(scales > 0, (means_2 - means_1) / scales, 0)
    error = difference.std(0, ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0
    clear: np.ndarray = difference.mean(0) / (error + 0.01)
    return clear


def messages_of(text: Text) -> list[dict[str, str]]:
    """A text as a conversation in JSON."""
    messages, reply = text
    return [message.as_dict() for message in (*messages, Message("assistant", reply))]
