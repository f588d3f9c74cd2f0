"""Whatever a server replies, each sample gets an outcome that can be kept: a score or text, or the reason why not."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply
from odd_replies import GOOD, completion, corpus, mutated, tokens

from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, Decoding, Judgement, JudgeRequest, Message, Request
from mindgap.judges.llm import LLMJudge
from mindgap.storage.store import Store

FUZZED = int(os.environ.get("MINDGAP_FUZZ", "300"))
"""Mutated replies; `make fuzz` takes 10,000."""
NAMES = ["openai/some", "together_ai/some"]
STEP = {NAMES[0]: 1, NAMES[1]: 1 if FUZZED >= 10_000 else 4}
"""litellm takes its time over what it cannot read: of the corpus it gets every fourth reply, and all where time is."""
WAYS = ["directly", "through litellm"]


pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings", "ignore:coroutine")  # litellm's own


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 0.001)


def replying(server: ChatServer, bodies: Sequence[str]) -> None:
    """The server answers request number i by `bodies[i]`; the number stands in the messages."""
    server.answer = lambda body: Reply(body=bodies[int(body["messages"][-1]["content"].split("number ")[1].split()[0])])


def judged(server: ChatServer, bodies: Sequence[str], model: str) -> list[Judgement]:
    replying(server, bodies)
    judge = LLMJudge(model, server.url, key_env=None, max_retries=0, stop_after=10**9)
    requests = [JudgeRequest("q", "r", "q", f"number {number} ") for number in range(len(bodies))]
    answers = dict(judge.judge(requests))
    return [answers[number] for number in range(len(bodies))]


def completed(server: ChatServer, bodies: Sequence[str], model: str) -> list[Completion]:
    replying(server, bodies)
    endpoint = LiteLLMBackend(server.url, key_env=None, max_retries=0).open(ModelSpec("some", litellm_id=model))
    requests = [
        Request("s", (Message("user", f"number {number} "),), Decoding(20), seed=1) for number in range(len(bodies))
    ]
    answers = dict(endpoint.generate(requests))
    return [answers[number] for number in range(len(bodies))]


def check_judgements(judgements: Sequence[Judgement], folder: Path) -> None:
    store = Store(folder / "store.sqlite")
    for number, judgement in enumerate(judgements):
        for score in (judgement.behaviour, judgement.coherence):
            assert score.value is None or 1 <= score.value <= 5
            assert score.missing is None or ("\n" not in score.missing and len(score.missing) < 700), score.missing
        assert judgement.cost_usd is None or 0 <= judgement.cost_usd < math.inf
        store.put_judgement(str(number), judgement)
        assert store.judgements([str(number)]) == {str(number): judgement}


def check_completions(completions: Sequence[Completion], folder: Path) -> None:
    store = Store(folder / "store.sqlite")
    for number, reply in enumerate(completions):
        assert (reply.finish_reason == "error") == (reply.error is not None)
        assert reply.error is None or ("\n" not in reply.error and len(reply.error) < 700), reply.error
        store.put_completion(str(number), reply)
        assert store.completions([str(number)]) == {str(number): reply}


@pytest.mark.parametrize("model", NAMES, ids=WAYS)
def test_odd_replies_to_a_judge(chat_server: ChatServer, tmp_path: Path, model: str) -> None:
    bodies = corpus()
    assert len(bodies) > 120
    check_judgements(judged(chat_server, bodies[:: STEP[model]], model), tmp_path)


@pytest.mark.parametrize("model", NAMES, ids=WAYS)
def test_odd_replies_to_a_model(chat_server: ChatServer, tmp_path: Path, model: str) -> None:
    check_completions(completed(chat_server, corpus()[:: STEP[model]], model), tmp_path)


@pytest.mark.timeout(3600)
def test_mutated_replies(chat_server: ChatServer, tmp_path: Path) -> None:
    bodies = list(mutated(17, FUZZED))
    check_judgements(judged(chat_server, bodies, NAMES[0]), tmp_path)
    check_completions(completed(chat_server, bodies, NAMES[0]), tmp_path)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 0.5, "x", None, True])
def test_log_probabilities_that_are_none_give_no_score(chat_server: ChatServer, odd: object) -> None:
    body = json.dumps(completion(logprobs={"content": tokens(odd)}))
    (judgement,) = judged(chat_server, [body], NAMES[0])
    assert judgement.behaviour.value is None and judgement.coherence.value is None
    assert "log-probabilities cannot be used" in (judgement.behaviour.missing or "")
    assert "judge.top_logprobs=0" in (judgement.behaviour.missing or "")
    (reply,) = completed(chat_server, [body], NAMES[0])
    assert (reply.text, reply.error) == (GOOD, None), "text that came is text, whatever stands beside it"


def test_probabilities_that_add_up_to_more_than_one_give_no_score(chat_server: ChatServer) -> None:
    top = [{"token": digit, "logprob": -0.1} for digit in "12345"]
    (judgement,) = judged(chat_server, [json.dumps(completion(logprobs={"content": tokens(top=top)}))], NAMES[0])
    assert "add up to" in (judgement.behaviour.missing or "")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (completion([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]), "in parts"),
        ({"choices": [{"message": {"content": "bare"}}]}, "bare"),
        (completion("a \ud83d half"), "a \ufffd half"),
        (completion() | {"usage": {"prompt_tokens": "7", "completion_tokens": 3.0}}, GOOD),
    ],
)
def test_what_providers_do_differently_is_read(chat_server: ChatServer, body: object, text: str) -> None:
    (reply,) = completed(chat_server, [json.dumps(body)], NAMES[0])
    assert (reply.text, reply.error) == (text, None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"choices": {"a": 1}}, "choices: input should be a valid list, and it is an object"),
        (completion(5), "message.content: input should be a valid string, and it is a number"),
        (completion(message=[]), "message: input should be a valid"),
        ({"error": {"message": "the model is loading", "code": 503}}, "the model is loading"),
        ([], "not a JSON object"),
    ],
)
def test_what_is_no_reply_says_why(chat_server: ChatServer, body: object, words: str) -> None:
    (reply,) = completed(chat_server, [json.dumps(body)], NAMES[0])
    assert words in (reply.error or "")
    (judgement,) = judged(chat_server, [json.dumps(body)], NAMES[0])
    assert judgement.transient and words in (judgement.behaviour.missing or "")


def test_an_error_that_may_pass_is_tried_again_though_it_came_as_a_success(chat_server: ChatServer) -> None:
    chat_server.script(Reply(body=json.dumps({"error": {"message": "busy", "code": 429}})), Reply("Hello."))
    endpoint = LiteLLMBackend(chat_server.url, key_env=None, max_retries=1).open(ModelSpec("s", litellm_id=NAMES[0]))
    ((_, reply),) = endpoint.generate([Request("s", (Message("user", "Hi."),), Decoding(20), seed=1)])
    assert reply.text == "Hello."


def test_an_endless_reply_is_ended(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindgap.providers.http.MOST_BYTES", 1 << 20)
    (reply,) = completed(chat_server, ["x" * (3 << 20)], NAMES[0])
    assert "longer than 1 MB" in (reply.error or "")
