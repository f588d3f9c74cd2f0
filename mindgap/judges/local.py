"""`judge=local`: an open model rates on a GPU of one's own, in this process or on vLLM servers; no key, nothing hosted.

Prompt and parser are those of `judge=llm`. Its scores are expectations too, and here exactly: the likelihood of the
model's own reply up to a score, with each of 1 to 5 in the score's place, over that of the reply up to there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mindgap.backends.base import Backend, Endpoint
from mindgap.core.errors import ConfigError
from mindgap.core.model import ModelSpec
from mindgap.core.records import (
    Completion,
    Decoding,
    Judgement,
    JudgeRequest,
    Message,
    OptionScores,
    OptionsRequest,
    Request,
    Score,
)
from mindgap.judges.empty import EMPTY_RESPONSE
from mindgap.judges.llm import judgement_of, missing
from mindgap.judges.prompts import PROMPT_HASH, RatingScale, messages
from mindgap.judges.votes import joined
from mindgap.providers.chat import Reply

SCALE = ("1", "2", "3", "4", "5")
VERSION = 1
"""Part of every judgement's key. Raise it when a change alters how a score is made."""


@dataclass(frozen=True)
class LocalJudge:
    """A model that `backend` runs rates behaviour and coherence, analysis first (conf/judge/local.yaml).

    Attributes:
        model: The judge.
        backend: What runs it: `LocalBackend`, or `VllmBackend` with the servers' addresses.
        max_tokens: Longest reply.
        one_request: Whether both scores are asked for in one request, or each in its own.
        expectation: Whether a score is the expectation over the judge's probabilities, or the whole number it wrote.
        most_outside: Most probability that may lie outside 1 to 5; beyond it the score is missing.
    """

    model: ModelSpec
    backend: Backend
    max_tokens: int = 500
    one_request: bool = True
    expectation: bool = True
    most_outside: float = 0.1

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigError(f"judge.max_tokens must be at least 1, not {self.max_tokens}")
        if not 0 <= self.most_outside < 1:
            raise ConfigError(f"judge.most_outside must be at least 0 and below 1, not {self.most_outside}")

    @property
    def name(self) -> str:
        """See `Judge.name`: the model's name, and what runs it."""
        return f"{self.model.name} ({self.backend.name})"

    @cached_property
    def identity(self) -> str:
        """See `Judge.identity`: weights, what runs them, prompt, decoding and how a score is made of a reply."""
        expectation = f"expected-{self.most_outside:g}" if self.expectation else "whole"
        how = f"{self.max_tokens}/{'+'.join(self._scales)}/{expectation}"
        return f"local{VERSION}/{self._endpoint.identity}/{PROMPT_HASH}/{how}"

    def lacks(self) -> list[str]:
        """What is missing here to judge, one thing a sentence; spends nothing."""
        lacking = self.backend.lacks(self.model, frozenset({"generate", "loglikelihood"}))
        return [f"{what} (for judge.model={self.model.name})" for what in lacking]

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """See `Judge.judge`. Empty responses are not read."""
        asked = [index for index, request in enumerate(requests) if request.response.strip()]
        for index in sorted(set(range(len(requests))) - set(asked)):
            yield index, EMPTY_RESPONSE
        parts: dict[int, dict[RatingScale, Judgement]] = {index: {} for index in asked}
        work = [(index, scale) for index in asked for scale in self._scales]
        for place, judgement in self._rated([messages(requests[index], scale) for index, scale in work]):
            index, scale = work[place]
            parts[index][scale] = judgement
            if len(parts[index]) == len(self._scales):
                yield index, joined([parts[index][each] for each in self._scales])

    @cached_property
    def _endpoint(self) -> Endpoint:
        return self.backend.open(self.model)

    @property
    def _scales(self) -> tuple[RatingScale, ...]:
        return ("both",) if self.one_request else ("behaviour", "coherence")

    def _rated(self, cases: Sequence[tuple[Message, ...]]) -> Iterator[tuple[int, Judgement]]:
        """The judgement of each conversation."""
        source, decoding = self._endpoint.identity, Decoding(self.max_tokens, 0.0)
        asked = [Request(source, case, decoding, seed=0) for case in cases]
        whole: dict[int, Judgement] = {}
        places: list[tuple[int, str, OptionsRequest]] = []
        for index, completion in self._endpoint.generate(asked):
            judgement = _whole_numbers(completion)
            scores = {"behaviour": judgement.behaviour, "coherence": judgement.coherence}
            found = {
                name: options
                for name, score in scores.items()
                if self.expectation and score.value is not None and (options := _options(name, score, completion.text))
            }
            if not found:
                yield index, judgement
                continue
            whole[index] = judgement
            places += [(index, name, OptionsRequest(source, cases[index], options)) for name, options in found.items()]
        expected: dict[int, dict[str, Score]] = {index: {} for index in whole}
        wanted = {index: sum(place[0] == index for place in places) for index in whole}
        for number, likelihoods in self._endpoint.loglikelihood([request for _, _, request in places]):
            index, name, _ = places[number]
            expected[index][name] = expectation(name, likelihoods, self.most_outside)
            if len(expected[index]) == wanted[index]:
                yield index, _refined(whole[index], expected[index])


def _whole_numbers(completion: Completion) -> Judgement:
    """What the judge wrote, read as a reply of a hosted judge is."""
    if completion.error is not None:
        return missing(f"no judgement: {completion.error}", transient=True)
    finish = "length" if completion.finish_reason in ("length", "thought") else "stop"
    return judgement_of(Reply(completion.text, finish, thought=completion.thought or ""))


def _options(name: str, score: Score, text: str) -> tuple[str, ...] | None:
    """The reply up to a score, alone and with each of 1 to 5 behind it; None where the score cannot be found.

    Space before the score belongs to what follows: in many tokenizers it is part of the digit's token.
    """
    assert score.value is not None
    spelling = name.replace("our", "ou?r")
    found = list(re.finditer(rf'(?<!\\)"{spelling}"\s*:(\s*"?)(?={score.value:.0f}(?!\d))', text))
    if not found:
        return None
    head = text[: found[-1].start(1)]
    return (head, *(f"{head}{found[-1].group(1)}{digit}" for digit in SCALE))


def expectation(name: str, scores: OptionScores, most_outside: float) -> Score:
    """The expected score, of the likelihoods of a reply up to the score, and of the same with each of 1 to 5.

    Args:
        name: The score's name, for the reason where it is missing.
        scores: In this order.
        most_outside: Where more of the probability than this is on anything but 1 to 5, the score is missing.
    """
    if scores.error is not None:
        return Score(None, f"the judge's probabilities of {name} are not known: {scores.error}")
    head, *totals = scores.logprobs
    chances = [math.exp(min(0.0, total - head)) for total in totals]
    inside = sum(chances)
    if inside < 1 - most_outside:
        return Score(None, f"the judge was unsure of {name}: {1 - inside:.0%} of the probability is outside 1 to 5")
    return Score(min(5.0, max(1.0, sum(k * chance for k, chance in enumerate(chances, 1)) / inside)))


def _refined(whole: Judgement, expected: dict[str, Score]) -> Judgement:
    scores = {"behaviour": whole.behaviour, "coherence": whole.coherence}
    told = ", ".join(f"{name} {scores[name].value:g}" for name in expected)
    both = {**scores, **expected}
    return Judgement(both["behaviour"], both["coherence"], f"{whole.analysis} [whole numbers: {told}]")
