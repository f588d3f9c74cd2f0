"""Parts of a change: they add up, and each is what it is called."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CONTROL, cell, cells, crossed

from mindgap.core.errors import MindgapError
from mindgap.stats.account import accuracy_account, interaction


def factorial(beyond: float, design=(14, 60)):
    generator = np.random.default_rng(5)
    base = 10 + crossed(generator, *design, (0.5, 0.8, 0.3))
    shifts = {"control": 0.0, "prompt": 0.5, "vector": 0.8, "combined": 1.3 + beyond}
    return cells({name: {"nice": base + shift + generator.normal(0, 0.4, design)} for name, shift in shifts.items()})


@pytest.mark.parametrize("beyond", [-0.4, 0.0, 0.4])
def test_the_interaction_is_what_goes_beyond_the_sum(beyond):
    estimated = interaction(factorial(beyond), cell("combined"), (cell("prompt"), cell("vector")), CONTROL, "nice")
    assert estimated.estimate.value == pytest.approx(beyond, abs=0.12)
    assert estimated.estimate.value == pytest.approx(
        estimated.together.value - estimated.first.value - estimated.second.value
    )
    assert (estimated.estimate.low > 0, estimated.estimate.high < 0) == (beyond > 0, beyond < 0)
    assert beyond == 0 or estimated.p < 0.01


def test_samples_that_one_of_the_four_lacks_are_left_out_and_counted():
    values = {name: {"nice": np.random.default_rng(n).normal(0, 1, (3, 5))} for n, name in enumerate("abcd")}
    values["b"]["nice"][0, 0] = np.nan
    estimated = interaction(cells(values), cell("d"), (cell("b"), cell("c")), cell("a"), "nice")
    assert (estimated.estimate.n, estimated.estimate.missing) == (14, 1)


def replies(kind: str, design=(4, 30)) -> dict[str, dict[str, np.ndarray]]:
    """Control answers all rightly; the cell fails on every third item in one way."""
    hit = np.broadcast_to(np.arange(design[1]) % 3 == 0, design)
    right = np.ones(design)
    lost = np.where(hit, 0.0, 1.0)
    control = {"accuracy": right, "answered": right, "loglik_accuracy": right}
    steered = {
        "format": {"accuracy": lost, "answered": lost, "loglik_accuracy": right},
        "knowledge": {"accuracy": lost, "answered": right, "loglik_accuracy": lost},
        "expression": {"accuracy": lost, "answered": right, "loglik_accuracy": right},
    }[kind]
    return {"control": control, "vector": steered}


@pytest.mark.parametrize("kind", ["format", "knowledge", "expression"])
def test_a_loss_of_one_kind_is_booked_as_that_kind(kind):
    account = accuracy_account(cells(replies(kind)), cell("vector"), CONTROL)
    parts = {name: getattr(account, name).value for name in ("format", "knowledge", "expression")}
    assert account.total.value == pytest.approx(1 / 3)
    assert parts == pytest.approx({name: 1 / 3 if name == kind else 0 for name in parts})


def test_the_parts_add_up_whatever_happened():
    generator = np.random.default_rng(0)

    def random() -> dict[str, np.ndarray]:
        answered, likely = generator.random((14, 40)) < 0.8, generator.random((14, 40)) < 0.7
        right = answered & (generator.random((14, 40)) < 0.6)
        named = {"accuracy": right, "answered": answered, "loglik_accuracy": likely}
        return {name: values.astype(float) for name, values in named.items()}

    account = accuracy_account(cells({"control": random(), "vector": random()}), cell("vector"), CONTROL)
    assert account.format.value + account.wrong.value == pytest.approx(account.total.value)
    assert account.knowledge.value + account.expression.value == pytest.approx(account.wrong.value)
    assert all(part.low <= part.value <= part.high for part in (account.format, account.knowledge, account.expression))


def test_without_log_likelihoods_knowledge_and_expression_stay_together():
    values = {name: {k: v for k, v in m.items() if k != "loglik_accuracy"} for name, m in replies("knowledge").items()}
    account = accuracy_account(cells(values), cell("vector"), CONTROL)
    assert (account.knowledge, account.expression, account.loglik) == (None, None, None)
    assert account.wrong.value == pytest.approx(1 / 3)


def test_an_account_of_what_was_not_measured_is_refused():
    samples = cells({name: {"accuracy": np.ones((2, 3))} for name in ("control", "vector")})
    with pytest.raises(MindgapError, match="'answered'"):
        accuracy_account(samples, cell("vector"), CONTROL)
