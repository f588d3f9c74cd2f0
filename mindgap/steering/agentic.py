"""Agentic steering: features are looked up by meaning, and a model is asked which of them to use, and how strongly."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability
from mindgap.backends.fetch import completions
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.edits import Declined, FeatureEdit
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Query, Request
from mindgap.steering.autosteer import AutoSteer, along_directions
from mindgap.steering.bench import SteeringBench
from mindgap.steering.features import feature_edit
from mindgap.steering.specification import parse
from mindgap.steering.wanted import directions

log = logging.getLogger(__name__)

QUESTION = """\
A language model can be steered by adding to the activation of interpretable features. It is to {behaviour}.
These features were found by searching for that. Each line: number, what the feature is.

{features}

Pick at most {most} features and a strength for each, between -{strength} and {strength}: positive adds the feature,
negative suppresses it. Answer with JSON only, for example [{{"feature": 12, "strength": 0.4}}]."""


@dataclass(frozen=True)
class Agentic:
    """`_target_: mindgap.steering.agentic.Agentic`, after the method of that name in the paper's earlier version.

    Attributes:
        search: Features looked up by meaning.
        most: How many of them are used at most.
        strength: Largest strength, in units of a feature's scale.
        picker: A litellm model that picks. Where its key is missing, or where it is None, the features with the largest
            share in the behaviour's direction (see `mindgap.steering.specific`) are taken at full strength, or the
            first ones of the search where the backend cannot measure that.
        provider: How the picker is reached; settings as of `backend=litellm`.
        like: How the direction is measured.
    """

    search: int = 10
    most: int = 3
    strength: float = 0.6
    picker: str | None = "gpt-4o-mini"
    provider: LiteLLMBackend = field(default_factory=LiteLLMBackend)
    like: AutoSteer = field(default_factory=AutoSteer)
    needs: ClassVar[frozenset[Capability]] = AutoSteer.needs

    def __post_init__(self) -> None:
        if not 1 <= self.most <= self.search:
            raise ConfigError(f"method.interventions: most={self.most}, must be between 1 and search={self.search}")
        if not self.strength > 0:
            raise ConfigError(f"method.interventions: strength={self.strength}, must be above 0")

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[FeatureEdit, ...] | Declined]:
        """Edits for each query. Raises ConfigError where the picker answers with something else than asked for."""
        asked = self._asks()
        return [self._for(query, bench, asked=asked) for query in queries]

    def _asks(self) -> bool:
        """Whether the picker can be asked here; says so in the log where it cannot."""
        if self.picker is None:
            return False
        if missing := self.provider.lacks(ModelSpec(self.picker, litellm_id=self.picker), frozenset({"generate"})):
            log.warning("agentic steering picks without an LLM: %s lacks %s", self.picker, "; ".join(missing))
            return False
        return True

    def _for(self, query: Query, bench: SteeringBench, *, asked: bool) -> tuple[FeatureEdit, ...] | Declined:
        wanted = parse(query.text)[0]
        relevance = bench.features.relevance(wanted.behaviour)
        live = np.where(bench.features.scales > 0, relevance, -np.inf)
        candidates = [int(feature) for feature in np.argsort(-live, kind="stable")[: self.search]]
        sign = 1 if wanted.towards else -1
        if asked:
            picked = self._ask(query, candidates, bench)
        elif "residual" in bench.endpoint.can:
            like, layer = self.like, bench.features.sae_layer
            (known,) = directions([query.text], like.passages, layer, bench, like.written_on(bench))
            if isinstance(known, Declined):
                return known
            along = along_directions(bench.features, known.direction)
            best = sorted(candidates, key=lambda feature: -abs(along[feature]))[: self.most]
            picked = [(f, math.copysign(self.strength, along[f]), f", along {along[f]:+.3f}") for f in best]
        else:  # a remote endpoint: nothing to measure an effect with
            picked = [(feature, sign * self.strength, ", by order of search") for feature in candidates[: self.most]]
        edits = [
            feature_edit(bench.features, feature, strength, note=f"meaning {relevance[feature]:+.2f}{why}")
            for feature, strength, why in picked
        ]
        log.info("agentic, %s: %s", query.text, "; ".join(map(str, edits)))
        return tuple(edits)

    def _ask(self, query: Query, candidates: Sequence[int], bench: SteeringBench) -> list[tuple[int, float, str]]:
        assert self.picker is not None
        endpoint = self.provider.open(ModelSpec(self.picker, litellm_id=self.picker))
        listed = "\n".join(f"{feature}: {bench.features.label(feature)}" for feature in candidates)
        question = QUESTION.format(behaviour=query.text, features=listed, most=self.most, strength=self.strength)
        decoding = Decoding(max_tokens=400, temperature=0)
        request = Request(endpoint.identity, (Message("user", question),), decoding, bench.seed)
        reply = completions([request], endpoint, bench.store)[request.key]
        if reply.no_reply is not None:
            raise UnavailableError(f"agentic steering: {self.picker} did not answer ({reply.no_reply})")
        picks = picks_in(reply.text, candidates, most=self.most, strongest=self.strength, picker=self.picker)
        return [(*pick, f", picked by {self.picker}") for pick in picks]


def picks_in(
    answer: str, candidates: Sequence[int], *, most: int, strongest: float, picker: str
) -> list[tuple[int, float]]:
    """Features with their strengths, from the first JSON list in what a picker answered.

    Args:
        answer: What it said.
        candidates: The features it was to choose from.
        most: How many it was to pick at most.
        strongest: The largest strength it was to give, up or down.
        picker: Its name, for messages.

    Raises:
        ConfigError: For an answer that keeps to none of this.
    """
    try:
        listed = json.loads(answer[answer.index("[") : answer.rindex("]") + 1])
        picked = {int(pick["feature"]): float(pick["strength"]) for pick in listed}
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(f"agentic steering: {picker} answered with no list of features: {answer!r}") from error
    if not picked or len(picked) > most or not set(picked) <= set(candidates):
        raise ConfigError(f"agentic steering: {picker} was to pick up to {most} of {list(candidates)}: {answer!r}")
    if any(not abs(strength) <= strongest for strength in picked.values()):
        raise ConfigError(f"agentic steering: {picker} chose a strength beyond ±{strongest}: {answer!r}")
    return list(picked.items())
