"""Judges at real vLLM servers: `judge=local` rates there as it does here, `judge=open` gets through by chat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from vllm_servers import STARTS_SERVERS, Fleet

from mindgap.backends.base import Backend
from mindgap.backends.local import LocalBackend
from mindgap.backends.vllm import VllmBackend
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, Judgement, JudgeRequest, OptionScores, OptionsRequest, Request
from mindgap.judges.llm import LLMJudge
from mindgap.judges.local import LocalJudge

pytestmark = [*STARTS_SERVERS, pytest.mark.timeout(1500)]

TINY = ModelSpec(name="tiny", embedded=True, sae="mindgap:tiny")
CASES = [JudgeRequest("be funny", "5: very", "Why is the sky blue?", "Because the sea dyes it every night, ha!")]
REPLY = '{"analysis": "It does so.", "behaviour": 4, "coherence": 5}'


@dataclass
class Worded:
    """A real model's likelihoods, behind a reply that can be read: one this small writes none."""

    model: Any

    @property
    def identity(self) -> str:
        return str(self.model.identity)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for index in range(len(requests)):
            yield index, Completion(REPLY, "stop")

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        yield from self.model.loglikelihood(requests)


@dataclass(frozen=True)
class WordedBackend:
    backend: Backend
    name: str = "worded"

    def lacks(self, model: ModelSpec, needs: frozenset[str]) -> list[str]:
        return []

    def open(self, model: ModelSpec) -> Worded:
        return Worded(self.backend.open(model))


def judged(backend: Backend) -> list[Judgement]:
    judge = LocalJudge(TINY, WordedBackend(backend), most_outside=0.99)  # type: ignore[arg-type]
    return [judgement for _, judgement in sorted(judge.judge(CASES), key=lambda told: told[0])]


def test_expected_scores_are_those_of_a_judge_in_this_process(pressed: Fleet) -> None:
    for there, here in zip(judged(VllmBackend(pressed.urls)), judged(LocalBackend()), strict=True):
        for score, expected in ((there.behaviour, here.behaviour), (there.coherence, here.coherence)):
            assert expected.missing is None and 1 < expected.value < 5
            assert score.value == pytest.approx(expected.value, abs=1e-3)


def test_an_unread_reply_is_the_same_missing_score(pressed: Fleet) -> None:
    there, here = (
        dict(LocalJudge(TINY, backend, max_tokens=40).judge(CASES))
        for backend in (VllmBackend(pressed.urls), LocalBackend())
    )
    assert there == here and all(judgement.behaviour.value is None for judgement in there.values())


def test_the_chat_api_answers_a_judge_with_its_schema(pressed: Fleet) -> None:
    model = VllmBackend(pressed.urls).open(TINY).servers.model
    judge = LLMJudge(f"openai/{model}", f"{pressed.urls[0]}/v1", key_env=None, max_tokens=60, max_retries=0)
    assert judge.lacks() == []
    judgements = dict(judge.judge(CASES))
    reasons = [judgement.behaviour.missing or "" for judgement in judgements.values()]
    # whatever a model this small thinks: it was asked, and replied in the form that it was held to
    assert all(not reason or "cut off" in reason or "unsure" in reason for reason in reasons), reasons
