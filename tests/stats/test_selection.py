"""A choice is reported on data it was not made on, and pays for having been made."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CONTROL, cell, cells, crossed

from mindgap.core.errors import MindgapError
from mindgap.stats.selection import cross_fit
from mindgap.stats.tradeoff import Rule, best_within

EQUAL = [f"dose{n}" for n in range(8)]


def equal_doses(seed: int, design=(6, 24)):
    """Eight doses that are all the same in truth, behaviour 3: whichever looks best was lucky."""
    generator = np.random.default_rng(seed)
    values = {
        name: {
            "behaviour": 3 + crossed(generator, *design, (0.0, 0.0, 1.0)),
            "accuracy": (generator.random(design) < 0.7).astype(float),
        }
        for name in ["control", *EQUAL]
    }
    return cells(values)


def test_the_winner_of_equals_is_flattered_where_it_was_chosen_and_not_where_it_was_not():
    rule = Rule(loss=1.0)
    flattered, honest, optimism = [], [], []
    for seed in range(60):
        samples = equal_doses(seed)
        flattered.append(best_within(samples, CONTROL, rule, resamples=20).value.value - 3)
        fit = cross_fit(samples, CONTROL, rule, resamples=20)
        honest.append(fit.values["behaviour"].value - 3)
        optimism.append(fit.optimism)
    assert np.mean(flattered) > 0.08
    assert abs(np.mean(honest)) < 0.03
    assert np.mean(optimism) > 0.1


def test_a_clear_winner_is_always_taken_and_its_value_kept():
    generator = np.random.default_rng(0)
    values = {
        name: {
            "behaviour": np.clip(level + crossed(generator, 14, 40, (0.2, 0.2, 0.5)), 1, 5),
            "accuracy": np.broadcast_to(np.arange(40) % 10 < 7, (14, 40)).astype(float),
        }
        for name, level in (("control", 2), ("mild", 2.5), ("strong", 3.5))
    }
    every = np.s_[:, :]
    for part, split in ((every, ("queries", "items")), (np.s_[:3], ("items",)), (np.s_[:, :4], ("queries",))):
        chosen = {name: {metric: array[part] for metric, array in of.items()} for name, of in values.items()}
        samples = cells(chosen)
        fit = cross_fit(samples, CONTROL, Rule(loss=0.05), resamples=2000)
        assert fit.split == split
        assert fit.choices[cell("strong")] == 1
        assert fit.chances[cell("strong")] > 0.99
        alone = samples.estimate(cell("strong"), "behaviour")
        assert fit.values["behaviour"].value == pytest.approx(alone.value, abs=0.01)
        assert fit.changes["behaviour"].low > 1
        assert fit.changes["accuracy"].value == pytest.approx(0)


def test_the_interval_covers_the_truth_though_a_choice_was_made():
    hits = 0
    for seed in range(150):
        fit = cross_fit(equal_doses(seed), CONTROL, Rule(loss=1.0), splits=2, resamples=300)
        low, high = fit.values["behaviour"].low, fit.values["behaviour"].high
        hits += low <= 3 <= high
    assert hits / 150 >= 0.93


def test_a_choice_too_dear_on_its_half_is_not_made():
    generator = np.random.default_rng(0)
    right = np.broadcast_to(np.arange(40) < 30, (6, 40)).astype(float)
    values = {
        "control": {"behaviour": 2 + generator.normal(0, 0.3, (6, 40)), "accuracy": right},
        "strong": {"behaviour": 4 + generator.normal(0, 0.3, (6, 40)), "accuracy": right * 0},
    }
    fit = cross_fit(cells(values), CONTROL, Rule(loss=0.1), resamples=500)
    assert fit.choices[CONTROL] == 1
    assert fit.changes["behaviour"].value == 0


def equal_of_queries(seed: int):
    """Eight doses that are equal over all queries, while each query takes to some of them more than to others."""
    generator = np.random.default_rng(seed)
    return cells(
        {
            name: {
                "behaviour": 3 + crossed(generator, 14, 57, (0.6, 0.0, 0.8)),
                "accuracy": (generator.random((14, 57)) < 0.7).astype(float),
            }
            for name in ["control", *EQUAL]
        }
    )


def test_where_queries_decide_the_luck_of_queries_is_not_reported():
    honest = [
        cross_fit(equal_of_queries(seed), CONTROL, Rule(loss=1.0), resamples=20).values["behaviour"].value - 3
        for seed in range(60)
    ]
    assert abs(np.mean(honest)) < 0.05


def test_one_query_and_one_item_leave_nothing_to_halve():
    samples = cells({"control": {"behaviour": np.ones((1, 1)), "accuracy": np.ones((1, 1))}})
    with pytest.raises(MindgapError, match="nothing to halve"):
        cross_fit(samples, CONTROL, Rule(0.1))
