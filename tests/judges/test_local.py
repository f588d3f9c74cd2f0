"""`judge=local`: an open model judges; its scores are its own probabilities, its prompt that of `judge=llm`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from mindgap.core.model import ModelSpec
from mindgap.core.records import (
    Completion,
    JudgeRequest,
    OptionScores,
    OptionsRequest,
    Request,
    Score,
)
from mindgap.judges.llm import LLMJudge
from mindgap.judges.local import LocalJudge, expectation
from mindgap.judges.prompts import messages

CASE = JudgeRequest("be funny", "5: very", "Why?", "Because, ha.")
REPLY = '{"analysis": "It says \\"behaviour\\": 1 once.", "behaviour": 4, "coherence":5}'


@dataclass
class Scripted:
    """A model whose reply and likelihoods are given."""

    reply: str
    chances: dict[str, dict[str, float]] = field(default_factory=dict)
    identity: str = "scripted"
    asked: list[Any] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        self.asked += requests
        for index in reversed(range(len(requests))):
            yield index, Completion(self.reply, "stop")

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        self.asked += requests
        for index, request in enumerate(requests):
            head, *options = request.options
            name = "coherence" if "coherence" in head else "behaviour"
            added = [math.log(self.chances[name].get(option[len(head) :].strip(), 1e-9)) for option in options]
            yield index, OptionScores((-3.0, *(-3.0 + more for more in added)), (9,) * 6)


@dataclass(frozen=True)
class ScriptedBackend:
    endpoint: Scripted
    name: str = "scripted"

    def lacks(self, model: ModelSpec, needs: frozenset[str]) -> list[str]:
        return []

    def open(self, model: ModelSpec) -> Scripted:
        return self.endpoint


def judge(endpoint: Scripted, **settings: Any) -> LocalJudge:
    return LocalJudge(ModelSpec("some", "org/some"), ScriptedBackend(endpoint), **settings)  # type: ignore[arg-type]


CHANCES = {"behaviour": {"4": 0.5, "5": 0.5}, "coherence": {"5": 0.75, "4": 0.2, "2": 0.05}}


def test_a_score_is_the_expectation_over_what_could_stand_in_its_place() -> None:
    endpoint = Scripted(REPLY, CHANCES)
    ((index, judgement),) = judge(endpoint).judge([CASE])
    assert index == 0
    assert judgement.behaviour.value == pytest.approx(4.5)
    assert judgement.coherence.value == pytest.approx(0.75 * 5 + 0.2 * 4 + 0.05 * 2)
    assert "whole numbers: behaviour 4, coherence 5" in judgement.analysis
    behaviour, coherence = endpoint.asked[1:]
    # the score itself, not what the analysis quotes; the space goes with the digit
    assert behaviour.options[0] == REPLY[: REPLY.index(" 4")] and behaviour.options[4] == behaviour.options[0] + " 4"
    assert coherence.options[0] == REPLY[: REPLY.index("5}")] and coherence.options[5] == coherence.options[0] + "5"


def test_the_prompt_is_that_of_the_hosted_judge() -> None:
    endpoint = Scripted(REPLY, CHANCES)
    list(judge(endpoint, one_request=False).judge([CASE]))
    assert [asked.messages for asked in endpoint.asked if isinstance(asked, Request)] == [
        messages(CASE, "behaviour"),
        messages(CASE, "coherence"),
    ]
    assert judge(endpoint).identity.split("/")[2] == LLMJudge().identity.split("/")[2]  # the prompt's hash


def test_what_cannot_be_read_or_is_unsure_is_missing_with_its_reason() -> None:
    ((_, unread),) = judge(Scripted("I like it.")).judge([CASE])
    assert "no scores" in unread.behaviour.missing
    unsure = {"behaviour": {"4": 0.3}, "coherence": {"5": 0.95}}
    ((_, judgement),) = judge(Scripted(REPLY, unsure)).judge([CASE])
    assert "unsure of behaviour: 70%" in judgement.behaviour.missing
    assert judgement.coherence.value == pytest.approx(5.0)
    ((_, empty),) = judge(Scripted(REPLY)).judge([JudgeRequest("q", "r", "q", " ")])
    assert empty.behaviour.value is None
    assert "not known: full" in expectation("behaviour", OptionScores((), (), "full"), 0.1).missing


def test_whole_numbers_need_no_likelihoods() -> None:
    endpoint = Scripted(REPLY)
    ((_, judgement),) = judge(endpoint, expectation=False).judge([CASE])
    assert (judgement.behaviour.value, judgement.coherence.value) == (4.0, 5.0)
    assert len(endpoint.asked) == 1


def test_a_real_models_probabilities_are_those_of_its_next_token(tiny: Any) -> None:
    """The embedded model cannot judge; what it thinks of each digit at a score's place can be told exactly."""
    torch = pytest.importorskip("torch")
    from mindgap.judges.local import _options

    said = messages(CASE)
    (_, scores), *_ = tiny.loglikelihood(
        [OptionsRequest(tiny.identity, said, _options("behaviour", Score(4.0), REPLY))]
    )
    head, *options = scores.logprobs
    engine = tiny.engine
    prompt, (reply,) = engine.chat.with_replies(said, [REPLY[: REPLY.index(" 4")]])
    space, *digits = (engine.chat.encode(text)[0] for text in (" ", *"12345"))
    with torch.inference_mode():
        logits = engine.model(input_ids=torch.tensor([[*prompt, *reply, space]])).logits[0].log_softmax(-1)
    expected = [float(logits[-2, space] + logits[-1, digit]) for digit in digits]
    assert [option - head for option in options] == pytest.approx(expected, abs=1e-3)


def test_its_yaml_says_what_judges_and_where() -> None:
    from mindgap.backends.vllm import VllmBackend
    from mindgap.core.build import build
    from mindgap.core.compose import composed, config_folder

    given = ["judge=local", "model@judge.model=tiny", "backend@judge.backend=vllm", "tracker=none"]
    config = composed([*given, "judge.backend.urls=[http://127.0.0.1:8000]"], config_folder())
    made = build(config["judge"], "judge")
    assert isinstance(made, LocalJudge) and made.name == "tiny (vllm)"
    assert made.backend == VllmBackend(("http://127.0.0.1:8000",))
    assert made.lacks() == []
