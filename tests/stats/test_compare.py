"""Differences from the reference: paired by what was asked, honest about what lacks, and never across judges."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CONTROL, cell, cells, crossed, labels

from mindgap.core.errors import MindgapError
from mindgap.stats.compare import compare_cells, difference
from mindgap.stats.samples import CellId, from_columns


def columns(**changed) -> dict[str, np.ndarray]:
    """Control and prompt on 4 queries × 6 items, prompt being 1 higher everywhere."""
    query, item = labels(4, 6)
    base = np.random.default_rng(0).normal(3, 1, 24)
    return {
        "model": np.array(["tiny"] * 48),
        "method": np.array(["control"] * 24 + ["prompt"] * 24),
        "strength": np.array(["none"] * 48),
        "query": np.tile(query, 2),
        "item": np.tile(item, 2),
        "epoch": np.zeros(48, dtype=int),
        "nice": np.concatenate([base, base + 1]),
    } | changed


def test_rows_are_paired_by_what_was_asked_wherever_they_stand():
    shuffle = np.random.default_rng(1).permutation(48)
    shuffled = {name: column[shuffle] for name, column in columns().items()}
    change = compare_cells(shuffled).of(cell("prompt"), "nice")
    assert change.estimate.value == pytest.approx(1)
    assert change.estimate.high - change.estimate.low == pytest.approx(0, abs=1e-9)


def test_a_lost_row_drops_its_pair_and_shifts_nothing():
    kept = np.arange(48) != 3
    change = compare_cells({name: column[kept] for name, column in columns().items()}).of(cell("prompt"), "nice")
    assert change.estimate.value == pytest.approx(1)
    assert (change.estimate.n, change.unpaired, change.estimate.missing) == (23, 1, 0)


def test_a_missing_score_is_counted_and_bounded_from_both_sides():
    both = np.random.default_rng(0).uniform(2, 4, (2, 4, 6))
    both[1, 0, 0] = np.nan
    samples = cells({"control": {"behaviour": both[0]}, "prompt": {"behaviour": both[1]}})
    change = difference(samples, cell("prompt"), CONTROL, "behaviour")
    changes = (both[1] - both[0]).ravel()[1:]
    assert (change.estimate.n, change.estimate.missing, change.unpaired) == (23, 1, 0)
    assert change.estimate.value == pytest.approx(changes.mean())
    assert change.lowest == pytest.approx((changes.sum() + 1 - both[0, 0, 0]) / 24)
    assert change.highest == pytest.approx((changes.sum() + 5 - both[0, 0, 0]) / 24)


def test_the_bounds_meet_where_nothing_is_missing():
    generator = np.random.default_rng(0)
    samples = cells({name: {"behaviour": generator.uniform(1, 5, (4, 6))} for name in ("control", "prompt")})
    change = difference(samples, cell("prompt"), CONTROL, "behaviour")
    assert change.lowest == pytest.approx(change.highest) == pytest.approx(change.estimate.value)


def test_pairing_takes_out_how_hard_the_items_are():
    generator = np.random.default_rng(0)
    hard = crossed(generator, 14, 60, (0.5, 2.0, 0.0))
    control, prompt = (hard + generator.normal(0, 0.3, hard.shape) + rise for rise in (0, 0.1))
    samples = cells({"control": {"nice": control}, "prompt": {"nice": prompt}})
    change = difference(samples, cell("prompt"), CONTROL, "nice")
    alone = samples.estimate(cell("prompt"), "nice")
    assert change.estimate.low > 0
    assert alone.high - alone.low > 10 * (change.estimate.high - change.estimate.low)
    assert change.p < 0.01
    assert change.effect == pytest.approx(0.1 / np.hypot(np.hypot(0.5, 2.0), 0.3), rel=0.4)


def test_a_cell_that_equals_its_reference_differs_by_nothing_and_proves_nothing():
    same = np.random.default_rng(0).integers(0, 2, (14, 20)).astype(float)
    samples = cells({"control": {"accuracy": same}, "zero": {"accuracy": same}})
    change = difference(samples, cell("zero"), CONTROL, "accuracy")
    assert change.estimate.value == 0
    assert change.estimate.low < 0 < change.estimate.high
    assert change.p == 1


def test_the_correction_counts_all_tests_of_the_sweep_or_those_of_a_metric():
    generator = np.random.default_rng(0)
    samples = cells(
        {
            name: {metric: crossed(generator, 10, 20, (0.1, 0.1, 1)) + shift for metric in ("behaviour", "coherence")}
            for name, shift in (("control", 3), ("prompt", 3.2), ("vector", 3.3))
        }
    )
    whole = compare_cells(samples).differences
    by_metric = compare_cells(samples, family="metric").differences
    smallest = min(whole, key=lambda tested: tested.p)
    assert smallest.p_adjusted == pytest.approx(4 * smallest.p)
    assert min(tested.p_adjusted / tested.p for tested in by_metric) <= 2
    assert all(tested.p_adjusted >= tested.p for tested in whole)
    assert compare_cells(samples, correction="bh").differences != whole


def test_scores_of_two_judges_are_never_compared_but_answers_are():
    values = np.random.default_rng(0).integers(0, 2, (4, 6)).astype(float)
    samples = cells(
        {name: {"behaviour": values + 2, "accuracy": values} for name in ("control", "prompt")},
        judge=lambda method: f"judge of {method}",
    )
    with pytest.raises(MindgapError, match="judge of control, judge of prompt"):
        compare_cells(samples)
    assert compare_cells(samples, metrics=["accuracy"]).of(cell("prompt"), "accuracy").estimate.value == 0


def test_each_model_is_compared_with_its_own_control():
    model = np.tile(np.repeat(["small", "large"], 12), 2)
    shift = np.where((model == "large") & (np.arange(48) >= 24), 1.0, 0.0)
    query, item = labels(2, 6)
    data = columns(model=model, query=np.tile(query, 4), item=np.tile(item, 4))
    data["nice"] = np.random.default_rng(0).normal(0, 0.1, 48) + 10.0 * (model == "large") + shift
    by_model = {tested.cell.model: tested.estimate.value for tested in compare_cells(data).differences}
    assert by_model["small"] == pytest.approx(0, abs=0.2)
    assert by_model["large"] == pytest.approx(1, abs=0.2)


def test_a_reference_that_is_not_there_is_named_with_what_is():
    with pytest.raises(MindgapError, match=r"'baseline'.*tiny prompt none"):
        compare_cells(columns(), "baseline")
    with pytest.raises(MindgapError, match="tiny other"):
        compare_cells(columns(), CellId("tiny", "other"))


def test_a_sample_that_occurs_twice_is_refused():
    data = columns(item=np.zeros(48, dtype=int))
    with pytest.raises(MindgapError, match=r"more than once.* 4 of tiny control none, 4 of tiny prompt none"):
        compare_cells(data)


def test_columns_that_are_no_samples_are_refused():
    with pytest.raises(MindgapError, match="column item"):
        from_columns({"query": ["a"], "nice": [1.0]})
    with pytest.raises(MindgapError, match="differ in length"):
        from_columns({"query": ["a"], "item": ["b", "c"]})
