"""The language-model judge: the real client against a scripted server on loopback."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from chat_server import ChatServer, Reply

from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest
from mindgap.judges.llm import LLMJudge

KEY = "sk-test-7f3a9c"
REQUEST = JudgeRequest("be funny", "5 = every line is a joke", "Why is the sky blue?", "Because it is sad.")


def rating(behaviour: Any = 4, coherence: Any = 5) -> Reply:
    return Reply(json.dumps({"analysis": "short", "behaviour": behaviour, "coherence": coherence}))


@pytest.fixture
def judge(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> LLMJudge:
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 0.01)
    monkeypatch.setenv("MINDGAP_TEST_KEY", KEY)
    return LLMJudge(model="openai/some-judge", api_base=chat_server.url, key_env="MINDGAP_TEST_KEY", max_retries=2)


def only(judge: LLMJudge, request: JudgeRequest = REQUEST) -> Judgement:
    ((index, judgement),) = judge.judge([request])
    assert index == 0
    return judgement


def test_a_rating_becomes_a_judgement(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(rating(4, 5))
    judgement = only(judge)
    assert (judgement.behaviour.value, judgement.coherence.value) == (4, 5)
    assert judgement.analysis == "short"
    assert not judgement.transient


def test_what_the_server_is_asked(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(rating())
    only(judge)
    ((body, headers),) = chat_server.asked
    assert (body["model"], body["temperature"]) == ("some-judge", 0)
    schema = body["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert list(schema["schema"]["properties"]) == ["analysis", "behaviour", "coherence"], "the analysis comes first"
    said = "\n".join(message["content"] for message in body["messages"])
    for text in (REQUEST.query, REQUEST.rubric, REQUEST.question, REQUEST.response):
        assert text in said
    assert headers["authorization"] == f"Bearer {KEY}"
    only(replace(judge, structured=False))
    assert "response_format" not in chat_server.asked[-1][0]


def test_each_response_gets_its_own_scores_however_late_they_come(judge: LLMJudge, chat_server: ChatServer) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        match = re.search(r"response number (\d+)", body["messages"][1]["content"])
        assert match
        number = int(match[1])
        return replace(rating(1 + number % 5, 1 + number % 3), delay=0.02 * (number % 4))

    chat_server.answer = answer
    requests = [replace(REQUEST, response=f"response number {number}") for number in range(40)]
    judged = dict(replace(judge, concurrency=6).judge(requests))
    assert {i: (j.behaviour.value, j.coherence.value) for i, j in judged.items()} == {
        i: (1 + i % 5, 1 + i % 3) for i in range(40)
    }
    assert 1 < chat_server.most_at_once <= 6


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (rating(0, 0), "out of range: 0"),
        (Reply("I would say four."), "no scores in the judge's reply: I would say four."),
        (Reply(None, refusal="I can't help with that."), "the judge refused: I can't help with that."),
        (Reply("", finish_reason="content_filter"), "stopped by a content filter"),
        (Reply('{"analysis": "and so', finish_reason="length"), "raise judge.max_tokens"),
    ],
)
def test_a_judge_that_answers_badly_has_answered(
    judge: LLMJudge, chat_server: ChatServer, reply: Reply, reason: str
) -> None:
    chat_server.script(reply)
    judgement = only(judge)
    for score in (judgement.behaviour, judgement.coherence):
        assert score.value is None
        assert score.missing is not None
        assert reason in score.missing
    assert not judgement.transient, "asking the same judge again at temperature 0 would waste money"
    assert len(chat_server.asked) == 1


@pytest.mark.parametrize(
    ("trouble", "calls"),
    [
        (Reply(status=429), 3),
        (Reply(status=500), 3),
        (Reply(status=503), 3),
        (Reply(body="{not json"), 3),
        (Reply(status=401), 1),
        (Reply(status=404), 1),
        (Reply(body='{"choices": []}'), 1),
    ],
)
def test_a_judge_that_cannot_be_reached_is_asked_again_next_time(
    judge: LLMJudge, chat_server: ChatServer, trouble: Reply, calls: int
) -> None:
    chat_server.script(trouble)
    judgement = only(judge)
    assert judgement.transient
    assert judgement.behaviour.value is None
    assert judgement.behaviour.missing is not None
    assert judgement.behaviour.missing.startswith("no judgement: ")
    assert len(chat_server.asked) == calls, "max_retries=2 allows two further calls, where they can help"


def test_trouble_that_passes_leaves_no_trace_in_the_scores(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(Reply(status=429), Reply(status=500), rating(2, 3))
    judgement = only(judge)
    assert (judgement.behaviour.value, judgement.coherence.value) == (2, 3)
    assert len(chat_server.asked) == 3


def test_retry_after_is_respected_up_to_a_limit(
    judge: LLMJudge, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("mindgap.providers.chat.asyncio.sleep", sleep)
    chat_server.script(Reply(status=429, headers={"Retry-After": "7"}), rating())
    assert only(judge).behaviour.value == 4
    assert 7 in waits
    chat_server.script(Reply(status=429, headers={"Retry-After": "86400"}))
    called = len(chat_server.asked)
    assert only(judge).transient
    assert len(chat_server.asked) == called + 1, "nobody waits a day"


def test_a_server_that_hangs_or_is_not_there(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(Reply(delay=3))
    hung = only(replace(judge, timeout=0.3, max_retries=0))
    assert hung.transient
    assert "imeout" in str(hung.behaviour.missing)
    absent = only(replace(judge, api_base="http://127.0.0.1:9/v1", max_retries=1))
    assert absent.transient
    assert "(after 2 calls)" in str(absent.behaviour.missing)


def test_an_empty_response_costs_nothing(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(rating())
    judged = dict(judge.judge([replace(REQUEST, response=text) for text in ("", " \n", "words")]))
    assert len(chat_server.asked) == 1
    assert (judged[0].behaviour.missing, judged[0].coherence.value) == ("empty response", 1)
    assert judged[1] == judged[0]
    assert judged[2].behaviour.value == 4


def test_cost_is_known_for_a_model_with_a_price_and_none_otherwise(judge: LLMJudge, chat_server: ChatServer) -> None:
    chat_server.script(rating())
    assert only(judge).cost_usd is None
    cost = only(replace(judge, model="gpt-4o-mini")).cost_usd
    assert cost is not None
    assert 0 < cost < 0.001


def test_the_key_is_in_no_message_log_or_identity(
    judge: LLMJudge, chat_server: ChatServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})
    chat_server.script(Reply(status=401, body=body))
    judgement = only(judge)
    out, err = capfd.readouterr()
    assert "Incorrect API key provided: ***" in str(judgement.behaviour.missing)
    for text in (str(judgement), judge.identity, judge.name, repr(judge), out, err):
        assert KEY not in text
    assert KEY not in "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("mindgap"))


def test_identity_changes_with_all_that_can_change_a_score_and_with_nothing_else(judge: LLMJudge) -> None:
    changes: list[dict[str, Any]] = [
        {"model": "openai/other"},
        {"api_base": "http://elsewhere:1/v1"},
        {"temperature": 0.5},
        {"max_tokens": 100},
        {"structured": False},
    ]
    changed = [replace(judge, **change).identity for change in changes]
    assert len({judge.identity, *changed}) == 6
    same = replace(judge, concurrency=1, timeout=5.0, max_retries=0, key_env="OTHER")
    assert same.identity == judge.identity


def test_a_server_named_by_the_environment_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert LLMJudge().name == "gpt-4o-mini"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy.example:8080/v1/")
    assert LLMJudge().name == "gpt-4o-mini@proxy.example:8080/v1"
    assert LLMJudge(model="anthropic/x").name == "anthropic/x"


def test_lacks_names_the_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    (missing,) = LLMJudge(key_env="SOME_KEY").lacks()
    assert "SOME_KEY" in missing
    monkeypatch.setenv("SOME_KEY", "x")
    assert LLMJudge(key_env="SOME_KEY").lacks() == []
    assert LLMJudge(key_env=None).lacks() == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"concurrency": 0}, "judge.concurrency must be at least 1, not 0"),
        ({"max_retries": -1}, "judge.max_retries must be at least 0, not -1"),
        ({"temperature": -0.1}, "judge.temperature must be at least 0"),
        ({"timeout": 0.0}, "judge.timeout must be above 0"),
        ({"max_tokens": 0}, "judge.max_tokens must be at least 1"),
        ({"model": ""}, "judge.model is empty"),
        ({"api_base": "localhost:8000"}, "judge.api_base must be an address"),
        ({"api_base": "https://user:secret@host/v1"}, "judge.api_base must hold no secret"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        LLMJudge(**setting)
    assert message in str(refused.value)
    assert "secret@" not in str(refused.value)


QUIET = """
import os, sys
from mindgap.judges.llm import LLMJudge
from mindgap.core.records import JudgeRequest
assert not {"litellm", "openai", "torch"} & set(sys.modules), "heavy imports come with the first call"
judge = LLMJudge(model="openai/x", api_base=sys.argv[1], key_env=None, max_retries=0)
for _ in range(2):
    ((_, judgement),) = judge.judge([JudgeRequest("q", "r", "q", "text")])
print(judgement.transient)
"""


def test_nothing_is_printed_but_what_the_program_prints(chat_server: ChatServer) -> None:
    chat_server.script(rating(), Reply(status=500))
    done = subprocess.run([sys.executable, "-c", QUIET, chat_server.url], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)
