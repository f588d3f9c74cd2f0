"""The trade-off: who is beaten by nobody, what the budget buys, and what may be called unharmed."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CONTROL, cell, cells, crossed

from mindgap.core.errors import MindgapError
from mindgap.stats.tradeoff import Rule, best_within, harmonic_mean, non_inferiority, pareto, undominated


def study(methods: dict[str, tuple[float, float, float]], design=(14, 60), noise: float = 0.8, **settings):
    """Cells with these true means of behaviour, coherence and accuracy; hard items are hard for all."""
    generator = np.random.default_rng(2)
    hard = generator.normal(0, 0.25, (1, design[1]))
    values = {}
    for method, (behaviour, coherence, accuracy) in methods.items():
        values[method] = {
            "behaviour": np.clip(behaviour + crossed(generator, *design, (0.2, 0.2, noise)), 1, 5),
            "coherence": np.clip(coherence + crossed(generator, *design, (0.1, 0.2, noise)), 1, 5),
            "accuracy": (generator.random(design) < np.clip(accuracy + hard, 0, 1)).astype(float),
        }
    return cells(values, **settings)


def test_the_front_holds_those_that_are_beaten_by_none():
    means = np.array([[3.0, 4.0], [2.0, 5.0], [2.0, 4.0], [3.0, 4.0]])
    assert undominated(means).tolist() == [True, True, False, True]


def test_a_cell_that_is_worse_in_everything_is_surely_off_the_front_and_the_best_in_one_thing_on_it():
    samples = study({"control": (2, 4.5, 0.7), "prompt": (3, 4.4, 0.7), "bad": (1.5, 2.5, 0.4)})
    members = {member.cell.method: member for member in pareto(samples)}
    assert not members["bad"].on_front
    assert members["bad"].probability < 0.01
    assert members["prompt"].on_front
    assert members["prompt"].probability > 0.99
    assert members["prompt"].means["behaviour"] == pytest.approx(3, abs=0.2)


def test_equal_cells_share_the_front_with_middling_probability():
    """With three independent metrics a twin is worse in all of them one time in eight."""
    samples = study({"control": (2, 4, 0.6), "twin": (2, 4, 0.6)}, noise=1.5)
    members = pareto(samples)
    assert all(member.probability > 0.1 for member in members)
    assert sum(member.probability for member in members) < 1.95


def test_three_queries_leave_more_doubt_than_fourteen():
    methods = {"control": (3.4, 4.2, 0.8), "other": (3, 3.8, 0.6)}
    few, many = (pareto(study(methods, (queries, 60), population=True))[1].probability for queries in (3, 14))
    assert many < 0.03 < 0.1 < few


def test_models_do_not_compete_with_each_other():
    samples = study({"control": (2, 4, 0.6), "prompt": (3, 4, 0.6)})
    alone = {member.cell: member.probability for member in pareto(samples, cells=[CONTROL])}
    assert alone == {CONTROL: 1.0}


def test_the_budget_decides_what_is_best():
    samples = study({"control": (2, 4.5, 0.8), "mild": (2.6, 4.3, 0.79), "strong": (4, 3, 0.5)})
    assert best_within(samples, CONTROL, Rule(loss=0.05)).cell == cell("mild")
    generous = best_within(samples, CONTROL, Rule(loss=0.5))
    assert generous.cell == cell("strong")
    assert generous.value.low < generous.value.value < generous.value.high
    assert generous.chances[cell("strong")] > 0.95
    assert sum(generous.chances.values()) == pytest.approx(1)


def along_a_frontier(seed: int):
    """Eight doses, each with more behaviour and less accuracy than the one before; five of them keep 3 points."""
    generator = np.random.default_rng(seed)
    return cells(
        {
            f"dose{n}" if n else "control": {
                "behaviour": 2 + 0.2 * n + crossed(generator, 14, 40, (0.2, 0.1, 0.6)),
                "accuracy": (generator.random((14, 40)) < 0.7 - 0.006 * n).astype(float),
            }
            for n in range(9)
        }
    )


def test_a_choice_with_confidence_breaks_its_limit_less_often_than_by_the_means():
    def broken(confidence: float | None) -> list[bool]:
        rule = Rule(loss=0.03, confidence=confidence)
        chosen = [best_within(along_a_frontier(seed), CONTROL, rule, resamples=20) for seed in range(80)]
        return [best.cell != CONTROL and int(best.cell.method.removeprefix("dose")) > 5 for best in chosen]

    assert np.mean(broken(None)) > 0.4
    assert np.mean(broken(0.9)) < 0.1


def test_how_surely_the_choice_keeps_its_limit_is_said():
    samples = study({"control": (2, 4.5, 0.8), "mild": (2.6, 4.3, 0.79)}, (14, 171))
    best = best_within(samples, CONTROL, Rule(loss=0.05))
    assert best.cell == cell("mild") and 0.6 < best.keeps < 1
    assert best.keeps == pytest.approx(1 - non_inferiority(samples, best.cell, CONTROL, 0.05).p)
    assert best_within(samples, CONTROL, Rule(loss=0.05, confidence=0.999)).cell == CONTROL
    with pytest.raises(ValueError, match="confidence"):
        Rule(loss=0.05, confidence=90)


def test_where_all_cost_too_much_the_reference_stays():
    samples = study({"control": (2, 4.5, 0.9), "strong": (4, 3, 0.4)})
    best = best_within(samples, CONTROL, Rule(loss=0.02))
    assert best.cell == CONTROL
    assert best.value.value == pytest.approx(samples.estimate(CONTROL, "behaviour").value)


def test_the_same_seed_gives_the_same_answer():
    samples = study({"control": (2, 4.5, 0.8), "mild": (2.6, 4.3, 0.79)})
    assert pareto(samples, seed=4) == pareto(samples, seed=4)
    assert best_within(samples, CONTROL, Rule(0.05), seed=4) == best_within(samples, CONTROL, Rule(0.05), seed=4)


def test_unharmed_harmed_and_undecided_are_three_things():
    samples = study({"control": (2, 4, 0.75), "same": (2, 4, 0.75), "worse": (2, 4, 0.45)}, (14, 171))
    verdicts = {
        (name, margin): non_inferiority(samples, cell(name), CONTROL, margin).verdict
        for name in ("same", "worse")
        for margin in (0.1, 0.01)
    }
    assert verdicts["same", 0.1] == "unharmed"
    assert verdicts["same", 0.01] == "undecided"
    assert verdicts["worse", 0.1] == "harmed"
    kept = non_inferiority(samples, cell("same"), CONTROL, 0.1)
    assert kept.p < 0.025
    with pytest.raises(MindgapError, match="margin"):
        non_inferiority(samples, cell("same"), CONTROL, 0)


def test_a_cell_equal_to_control_is_unharmed_without_any_variation_to_test():
    right = np.random.default_rng(0).integers(0, 2, (14, 171)).astype(float)
    samples = cells({"control": {"accuracy": right}, "zero": {"accuracy": right}})
    kept = non_inferiority(samples, cell("zero"), CONTROL, 0.05)
    assert (kept.verdict, kept.p) == ("unharmed", None)


def test_the_harmonic_mean_is_from_0_to_2_and_one_zero_is_enough():
    def mean_of(behaviour: float, coherence: float, accuracy: float) -> float:
        values = {"behaviour": behaviour, "coherence": coherence, "accuracy": accuracy}
        samples = cells({"control": {name: np.full((2, 3), value) for name, value in values.items()}})
        return harmonic_mean(samples, CONTROL).value

    assert mean_of(5, 5, 1) == pytest.approx(2)
    assert mean_of(5, 5, 0) == 0
    assert mean_of(1, 5, 1) == 0
    assert mean_of(3, 5, 1) == pytest.approx(3 / (1 / 1 + 1 / 2 + 1 / 2))


def test_a_missing_score_leaves_the_harmonic_mean_missing_and_not_zero():
    behaviour = np.full((2, 3), 5.0)
    behaviour[0, 0] = np.nan
    samples = cells({"control": {"behaviour": behaviour, "coherence": np.full((2, 3), 5.0)}})
    mean = harmonic_mean(samples, CONTROL, parts=("behaviour", "coherence"))
    assert (mean.value, mean.n, mean.missing) == (pytest.approx(2), 5, 1)


def test_two_judges_make_no_front():
    with pytest.raises(MindgapError, match="2 judges"):
        pareto(study({"control": (2, 4, 0.6), "prompt": (3, 4, 0.6)}, judge=lambda method: method))
