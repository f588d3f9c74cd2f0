"""What judging costs: limits that hold, stops that are clean, and nothing paid twice."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply

from mindgap.core.records import Judgement, JudgeRequest
from mindgap.judges.auto import AutoJudge
from mindgap.judges.fetch import judgements
from mindgap.judges.llm import LLMJudge
from mindgap.providers.budget import budget_of
from mindgap.storage.store import Store

GOOD = Reply(json.dumps({"analysis": "short", "behaviour": 4, "coherence": 5}), usage=(500, 100))
EACH = 500 * 1e-6 + 100 * 10e-6
"""US dollars that a reply costs at the prices of `judge`."""


@pytest.fixture
def judge(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> LLMJudge:
    monkeypatch.setattr("mindgap.providers.pace.FIRST_WAIT", 0.01)
    chat_server.script(GOOD)
    return LLMJudge(
        model="openai/some-judge",
        api_base=chat_server.url,
        key_env=None,
        max_tokens=100,
        max_retries=1,
        usd_per_million=(1.0, 10.0),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite")


def cases(count: int) -> list[JudgeRequest]:
    return [JudgeRequest("be funny", "a rubric", "Why?", f"response {number}") for number in range(count)]


def reasons(judged: Sequence[Judgement]) -> Counter[str]:
    return Counter((judgement.behaviour.missing or "scored").partition(":")[0] for judgement in judged)


def test_what_a_reply_costs(judge: LLMJudge) -> None:
    ((_, judgement),) = judge.judge(cases(1))
    assert judgement.cost_usd == pytest.approx(EACH)
    ((_, unknown),) = replace(judge, usd_per_million=None).judge(cases(1))
    assert unknown.cost_usd is None, "unknown is not nothing"
    ((_, two),) = replace(judge, one_request=False).judge(cases(1))
    assert two.cost_usd == pytest.approx(2 * EACH)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_is_never_exceeded_stops_cleanly_and_more_completes_the_rest(
    judge: LLMJudge, chat_server: ChatServer, store: Store, concurrency: int, caplog: pytest.LogCaptureFixture
) -> None:
    limit = 10 * EACH + 1e-9
    limited = replace(judge, budget_usd=limit, concurrency=concurrency)
    first = judgements(cases(30), limited, store)
    spent = sum(judgement.cost_usd or 0 for judgement in first.values())
    assert len(first) == 30
    assert spent <= limit
    assert len(chat_server.asked) == reasons(list(first.values()))["scored"] >= 8
    left_out = [judgement for judgement in first.values() if judgement.behaviour.value is None]
    assert all(
        judgement.transient and (judgement.behaviour.missing or "").startswith("budget: $") for judgement in left_out
    )
    assert sum("budget" in record.message for record in caplog.records) == 1, "said once, not thirty times"

    again = judgements(cases(30), limited, store)
    assert len(chat_server.asked) == 30 - len(left_out), "what was paid before counts"
    assert reasons(list(again.values())) == reasons(list(first.values()))

    more = judgements(cases(30), replace(limited, budget_usd=40 * EACH), store)
    assert reasons(list(more.values())) == {"scored": 30}
    assert len(chat_server.asked) == 30, "nothing is paid twice"


def test_a_budget_counts_what_an_earlier_process_paid(judge: LLMJudge, chat_server: ChatServer, store: Store) -> None:
    judgements(cases(10), judge, store)  # without a budget: this process counts nothing
    limited = replace(judge, budget_usd=12 * EACH + 1e-9)
    judged = judgements(cases(30), limited, store)
    assert sum(judgement.cost_usd or 0 for judgement in judged.values()) <= limited.budget_usd
    assert 10 <= reasons(list(judged.values()))["scored"] <= 12


def test_cells_of_one_process_share_a_budget_and_count_what_they_share_once(
    judge: LLMJudge, chat_server: ChatServer, store: Store
) -> None:
    limited = replace(judge, budget_usd=20 * EACH + 1e-9)
    for count in (6, 6, 12):
        judged = judgements(cases(count), replace(limited), store)
        assert reasons(list(judged.values())) == {"scored": count}
    assert len(chat_server.asked) == 12


def test_a_failure_gives_back_what_was_set_aside(judge: LLMJudge, chat_server: ChatServer, store: Store) -> None:
    limited = replace(judge, budget_usd=3 * EACH, max_retries=0, stop_after=100)
    chat_server.script(*[Reply(status=500)] * 20, GOOD)
    assert reasons(list(judgements(cases(20), limited, store).values()))["scored"] == 0
    assert reasons(list(judgements(cases(2), limited, store).values())) == {"scored": 2}


@pytest.mark.parametrize("first_replies", [[Reply(status=500)], [GOOD, Reply(status=500)]])
def test_what_was_paid_on_the_way_to_a_failure_counts_and_so_does_asking_again(
    judge: LLMJudge, chat_server: ChatServer, store: Store, first_replies: list[Reply]
) -> None:
    limited = replace(judge, one_request=False, budget_usd=9 * EACH, max_retries=0, stop_after=100, concurrency=1)
    chat_server.script(*first_replies, GOOD)
    assert reasons(list(judgements(cases(1), limited, store).values())) == {"no judgement": 1}
    assert reasons(list(judgements(cases(30), limited, store).values()))["scored"] >= 3
    served = sum(reply.status == 200 for reply in first_replies) + len(chat_server.asked) - len(first_replies)
    assert budget_of(limited.identity, 9 * EACH).spent == pytest.approx(served * EACH), (
        "all that the server charged for"
    )


def test_a_reply_that_does_not_say_what_it_cost_is_booked_at_its_highest_price(
    judge: LLMJudge, chat_server: ChatServer, store: Store
) -> None:
    limited = replace(judge, one_request=False, budget_usd=9 * EACH, max_retries=0, stop_after=100, concurrency=1)
    silent = replace(GOOD, body='{"choices": [{"message": {"content": "no scores"}, "finish_reason": "stop"}]}')
    number = iter(range(1000))
    chat_server.answer = lambda body: Reply(status=500) if next(number) % 2 else silent
    assert reasons(list(judgements(cases(30), limited, store).values())) == {"no judgement": 8, "budget": 22}


def test_a_budget_needs_a_price(judge: LLMJudge) -> None:
    assert replace(judge, budget_usd=1.0).lacks() == []
    (missing,) = replace(judge, budget_usd=1.0, usd_per_million=None).lacks()
    assert "judge.usd_per_million" in missing
    assert replace(judge, model="gpt-4o-mini", budget_usd=1.0, usd_per_million=None).lacks() == []


def test_auto_keeps_to_the_budget_of_its_language_model(judge: LLMJudge, store: Store) -> None:
    judgements(cases(10), judge, store)
    auto = AutoJudge(replace(judge, budget_usd=10 * EACH + 1e-6), None)  # type: ignore[arg-type]
    judged = judgements(cases(11), auto, store)
    assert reasons(list(judged.values())) == {"scored": 10, "budget": 1}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_cannot_heal_stops_at_once_with_one_message(
    judge: LLMJudge, chat_server: ChatServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    chat_server.script(Reply(status=status))
    judged = [judgement for _, judgement in replace(judge, stop_after=3, concurrency=2).judge(cases(50))]
    assert len(judged) == 50
    assert all(judgement.transient for judgement in judged)
    assert 3 <= len(chat_server.asked) <= 4, "three in a row, and what was under way"
    (said,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "stopped after 3 failures in a row" in said
    assert f"scripted {status}" in said


def test_an_account_without_money_is_not_asked_again_and_again(judge: LLMJudge, chat_server: ChatServer) -> None:
    body = json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
    chat_server.script(Reply(status=429, body=body))
    list(replace(judge, stop_after=2, concurrency=1, max_retries=5).judge(cases(20)))
    assert len(chat_server.asked) == 2


def test_scattered_failures_stop_nothing(judge: LLMJudge, chat_server: ChatServer) -> None:
    number = iter(range(1000))
    chat_server.answer = lambda body: GOOD if next(number) % 3 else Reply(status=401)
    judged = [judgement for _, judgement in replace(judge, stop_after=3, concurrency=1).judge(cases(30))]
    assert reasons(judged) == {"scored": 20, "no judgement": 10}


def test_requests_a_minute_are_kept_to(judge: LLMJudge, chat_server: ChatServer) -> None:
    under_way = replace(judge, requests_per_minute=0.1, concurrency=5).judge(cases(5))
    assert next(under_way)[1].behaviour.value == 4
    under_way.close()  # type: ignore[attr-defined]
    assert len(chat_server.asked) == 1, "the second is not sent for ten minutes"


CELL = """
import sys
from pathlib import Path
from mindgap.judges.fetch import judgements
from mindgap.judges.llm import LLMJudge
from mindgap.core.records import JudgeRequest
from mindgap.storage.store import Store
judge = LLMJudge(model="openai/x", api_base=sys.argv[1], key_env=None, concurrency=8)
cases = [JudgeRequest("be funny", "a rubric", "Why?", f"response {n}") for n in range(200)]
found = judgements(cases, judge, Store(Path(sys.argv[2])))
print(sum(judgement.behaviour.value == 4 for judgement in found.values()))
"""


def test_kill_9_loses_no_more_than_what_was_under_way(chat_server: ChatServer, tmp_path: Path) -> None:
    billed: Counter[str] = Counter()
    half = threading.Event()

    def answer(body: dict[str, Any]) -> Reply:
        billed[hashlib.sha256(body["messages"][1]["content"].encode()).hexdigest()] += 1
        if len(billed) >= 100:
            half.set()
        return replace(GOOD, delay=0.02)

    chat_server.answer = answer
    command = [sys.executable, "-c", CELL, chat_server.url, str(tmp_path / "store.sqlite")]
    first = subprocess.Popen(command)
    assert half.wait(120)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "200\n", done.stderr
    twice = sum(count - 1 for count in billed.values())
    assert len(billed) == 200
    assert max(billed.values()) <= 2
    assert twice <= 8 + 1, "calls under way, and an eighth as many whose answer was not stored yet"
