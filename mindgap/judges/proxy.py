"""A judge without network or key: two scores from the log-likelihoods of a small local model, and from repetition.

Its constants are provisional: set by eye, calibrated against no judge and no person. Its scores put responses in an
order; they measure nothing, and a point of this judge is not a point of another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

from mindgap.backends.base import Endpoint, ModelSpec
from mindgap.backends.local import LocalBackend
from mindgap.detectors import detect
from mindgap.errors import ConfigError
from mindgap.judges.empty import EMPTY_RESPONSE
from mindgap.records import Judgement, JudgeRequest, Message, OptionScores, OptionsRequest, Score, content_key

VERSION = 1
"""Part of the identity. Raise it when a change of the code changes scores."""

BATCH = 64
"""Responses scored together. A larger batch is no faster, and more is lost when the process is killed."""


@dataclass(frozen=True)
class ProxyJudge:
    """`judge=proxy`. Fields: see conf/judge/proxy.yaml.

    With l = mean log-likelihood per token of the response (nats) as the reader's answer to the question alone, l' the
    same where the system prompt asks for the behaviour, r = the response's repetition (`detectors`), and
    s(x) = 1 / (1 + exp(-x)):

        behaviour = 1 + 4 s((l' - l - behaviour_centre) / behaviour_scale)
        coherence = 1 + 4 s((l - coherence_centre) / coherence_scale) (1 - r) ** repetition_power

    Likelihood alone will not do for coherence: a loop is the likeliest text there is.
    """

    reader: ModelSpec
    instruction: str = "When answering, please {query}."
    max_chars: int = 600
    behaviour_centre: float = 0.0
    behaviour_scale: float = 0.1
    coherence_centre: float = -3.5
    coherence_scale: float = 0.6
    repetition_power: float = 1.5

    def __post_init__(self) -> None:
        if "{query}" not in self.instruction:
            raise ConfigError(
                f"judge.instruction={self.instruction!r} does not say where the query goes: put {{query}} in it"
            )
        if self.max_chars < 1:
            raise ConfigError(f"judge.max_chars must be at least 1, not {self.max_chars}")
        for name in ("behaviour_scale", "coherence_scale", "repetition_power"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"judge.{name} must be above 0, not {getattr(self, name)}")

    @property
    def name(self) -> str:
        """See `Judge.name`: the reader is part of it, since each reader is another judge."""
        return f"proxy-{self.reader.name}"

    @cached_property
    def identity(self) -> str:
        """See `Judge.identity`: the reader's weights, and every constant. Opens the reader."""
        constants = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "reader"}
        return f"proxy{VERSION}/{self._endpoint.identity}/{content_key('proxy', **constants)[:16]}"

    def lacks(self) -> list[str]:
        """What is missing here to judge, one thing a sentence; loads nothing."""
        return LocalBackend().lacks(self.reader, frozenset({"loglikelihood"}))

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """See `Judge.judge`. Two passes of the reader over each response, none over an empty one."""
        full = [index for index, request in enumerate(requests) if request.response.strip()]
        for index in sorted(set(range(len(requests))) - set(full)):
            yield index, EMPTY_RESPONSE
        for start in range(0, len(full), BATCH):
            batch = full[start : start + BATCH]
            asked = [question for index in batch for question in self._questions(requests[index])]
            per_token = {place: _per_token(scores) for place, scores in self._endpoint.loglikelihood(asked)}
            for place, index in enumerate(batch):
                yield index, self.judgement(per_token[2 * place], per_token[2 * place + 1], requests[index].response)

    def judgement(self, neutral: float, asked: float, response: str) -> Judgement:
        """The scores of a response from its mean log-likelihoods per token (nats): `neutral` l and `asked` l'."""
        repetition = detect(response).repetition
        analysis = (
            f"log-likelihood per token {neutral:.3f}, asked for the behaviour {asked:.3f} "
            f"(difference {asked - neutral:+.3f}); repetition {repetition:.2f}"
        )
        if not math.isfinite(neutral) or not math.isfinite(asked):
            missing = Score(None, "the reader gives this response no finite likelihood")
            return Judgement(missing, missing, analysis)
        shown = _sigmoid((asked - neutral - self.behaviour_centre) / self.behaviour_scale)
        fluent = _sigmoid((neutral - self.coherence_centre) / self.coherence_scale)
        coherence = fluent * (1 - repetition) ** self.repetition_power
        return Judgement(Score(1 + 4 * shown), Score(1 + 4 * coherence), analysis)

    @property
    def _endpoint(self) -> Endpoint:
        return LocalBackend().open(self.reader)  # loaded once a process, however often it is opened

    def _questions(self, request: JudgeRequest) -> tuple[OptionsRequest, OptionsRequest]:
        """The response's beginning, as a reply to the question alone and to the question under the instruction."""
        question = Message("user", request.question)
        instruction = Message("system", self.instruction.replace("{query}", request.query))
        text = (request.response[: self.max_chars],)
        source = self.reader.name  # plays no part: what the store keeps is the judgement, under the judge's identity
        return OptionsRequest(source, (question,), text), OptionsRequest(source, (instruction, question), text)


def _per_token(scores: OptionScores) -> float:
    (mean,) = scores.per_token()
    return mean


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))
