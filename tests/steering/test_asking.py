"""Prompting baselines: what each puts before the model, and how a rewritten instruction is chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, OptionsRequest, Query
from mindgap.steering.asking import Demonstrations, Neutral, Rewritten
from mindgap.steering.bench import SteeringBench
from mindgap.steering.methods import Method
from mindgap.steering.stimulus import replies_apart, stimulus

pytest.importorskip("torch")

QUERIES = [Query("be funny", ""), Query("be terse", "")]
SYSTEM, ASKED = Message("system", "Answer."), Message("user", "What is tea?")


def said(asking: Any, bench: SteeringBench) -> list[tuple[Message, ...]]:
    """The conversation that each query's request would hold."""
    method = Method("m", "M", asking=asking)
    words = method.asking.asked(QUERIES, bench)
    return [method.messages((SYSTEM, ASKED), q, asked=asked) for q, asked in zip(QUERIES, words, strict=True)]  # type: ignore[arg-type]


def test_demonstrations_are_the_models_replies_under_an_instruction_that_is_not_there(bench: SteeringBench) -> None:
    for query, messages in zip(QUERIES, said(Demonstrations(shots=2), bench), strict=True):
        shown = stimulus(bench, query.text, prompts=2, writer=bench)
        turns = [m for asked, reply in shown.behaving for m in (asked[-1], Message("assistant", reply))]
        assert list(messages) == [SYSTEM, *turns, ASKED]
        assert not any(query.text in message.content for message in messages)
    opposite = said(Demonstrations(shots=2, opposite=True), bench)
    assert [m.content for m in opposite[0][1:-1:2]] == [m.content for m in opposite[1][1:-1:2]]
    assert [m.content for m in opposite[0][2:-1:2]] == [reply for _, reply in shown.neutral]


def test_demonstrations_of_ones_own(bench: SteeringBench, tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}", "positive": f"ha {n}", "negative": f"so {n}"} for n in range(3)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asking = Demonstrations(shots=2, pairs=str(tmp_path / "pairs.jsonl"))
    assert [m.content for m in said(asking, bench)[0]] == ["Answer.", "Q0", "ha 0", "Q1", "ha 1", "What is tea?"]
    with pytest.raises(ConfigError, match="has 3 replies"):
        said(Demonstrations(shots=4, pairs=str(tmp_path / "pairs.jsonl")), bench)


def test_the_instruction_taken_makes_replies_that_show_the_behaviour_likeliest(bench: SteeringBench) -> None:
    rewritten = Rewritten(instruction="Please {query}.", proposals=3)
    (query, other) = QUERIES
    tried = rewritten.tried(query, bench)
    assert next(iter(tried)) == "Please be funny." and len(tried) > 1
    best = max(tried, key=tried.get)
    assert said(rewritten, bench)[0] == (Message("system", f"Answer.\n\n{best}"), ASKED)
    gains = []
    for messages, yes, no in replies_apart(query, bench):
        request = OptionsRequest(bench.endpoint.identity, (Message("system", best), *messages), (yes, no))
        ((_, scores),) = bench.endpoint.loglikelihood([request])
        gains.append(scores.per_token()[0] - scores.per_token()[1])
    assert tried[best] == pytest.approx(np.mean(gains), abs=1e-5) and other.text not in best


@pytest.mark.parametrize("instruction", ["Please {query}.", "When answering, please {query}. " * 12])
def test_a_neutral_prompt_is_as_long_and_says_nothing_of_the_behaviour(instruction: str, bench: SteeringBench) -> None:
    for query, messages in zip(QUERIES, said(Neutral(instruction), bench), strict=True):
        words = messages[0].content.removeprefix("Answer.\n\n").split()
        assert len(words) == len(instruction.replace("{query}", query.text).split())
        assert not {"funny", "terse", "please"} & {word.lower().strip(".,") for word in words}


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="shots"):
        Demonstrations(shots=0)
    with pytest.raises(ConfigError, match="proposals"):
        Rewritten(proposals=9)
    with pytest.raises(ConfigError, match="both set"):
        Method("m", "M", instruction="Please {query}.", asking=Neutral())
