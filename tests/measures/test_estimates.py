"""What enters which metric: nothing that collapsed or failed disappears from a denominator."""

from __future__ import annotations

import dataclasses
import math

import pytest
from sweeps import MEASURES, measured_again, metrics_of

from mindgap.core.records import Record
from mindgap.measures.estimates import count

GOOD = Record(
    key="k", model="m", method="control", strength="none", dose=None, query="be funny", item="i", subject="s", epoch=0,
    system_prompt="", prompt="p", response="r", finish_reason="stop", prompt_tokens=1, completion_tokens=1, error=None,
    gold="A", answer="A", unparsed=None, correct=True, loglik_answer="A", loglik_correct=True,
    option_logprobs=(-1.0, -2.0), judge="proxy", behaviour=3.0, behaviour_missing=None, coherence=4.0,
    coherence_missing=None, analysis="", perplexity=math.e,
    perplexity_missing=None,
)  # fmt: skip
WRONG = dataclasses.replace(GOOD, answer="B", correct=False, loglik_correct=False)
UNPARSED = dataclasses.replace(GOOD, answer=None, unparsed="no answer", correct=False)
FAILED = dataclasses.replace(
    GOOD, response="", finish_reason="error", error="timeout", answer=None, correct=None, loglik_correct=None,
    option_logprobs=(), behaviour=None, behaviour_missing="not judged", coherence=None, coherence_missing="not judged",
    perplexity=None, perplexity_missing="timeout",
)  # fmt: skip


def cell(*kinds: Record) -> tuple[Record, ...]:
    return measured_again(dataclasses.replace(record, item=f"i{number}") for number, record in enumerate(kinds))


def test_an_unparsed_reply_is_wrong_over_all_and_absent_over_answered() -> None:
    metrics = metrics_of(cell(GOOD, GOOD, WRONG, UNPARSED))
    assert metrics["accuracy"].value == pytest.approx(0.5)
    assert metrics["accuracy_answered"].value == pytest.approx(2 / 3)
    assert metrics["answered"].value == pytest.approx(0.75)
    assert metrics["loglik_accuracy"].value == pytest.approx(0.75)


def test_a_failed_request_is_missing_everywhere_and_counted() -> None:
    records = cell(GOOD, WRONG, FAILED)
    metrics = metrics_of(records)
    for name in ("behaviour", "coherence", "accuracy", "answered", "words", "nll"):
        assert metrics[name].n == 2 and metrics[name].missing == 1
    assert count(records, MEASURES)["errors"] == count(records, MEASURES)["behaviour_missing"] == 1


def test_a_cell_in_which_all_failed_has_no_value_and_says_so() -> None:
    metrics = metrics_of(cell(FAILED, FAILED))
    assert all(estimate.value is None for estimate in metrics.values())
    assert count(cell(FAILED, FAILED), MEASURES)["errors"] == 2


def test_surprise_is_finite_however_far_a_text_has_collapsed() -> None:
    collapsed = dataclasses.replace(GOOD, perplexity=1e12)
    assert metrics_of(cell(GOOD, collapsed))["nll"].value == pytest.approx((1 + math.log(1e12)) / 2)


def test_open_questions_have_no_accuracy_and_no_answered_share() -> None:
    free = dataclasses.replace(GOOD, answer=None, correct=None)
    metrics = metrics_of(cell(free, free))
    assert not {"accuracy", "accuracy_answered", "answered"} & set(metrics)
    assert metrics["loglik_accuracy"].value == 1
