"""What a design can detect, before and after: checked by simulating the studies it speaks of."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CONTROL, cell, cells, crossed

from mindgap.core.errors import MindgapError
from mindgap.stats.bootstrap import t_quantile
from mindgap.stats.crossed import CrossedTable, variance_of_mean
from mindgap.stats.power import Components, components_of, detectable, detectable_after

TRUE = Components(queries=0.3, items=0.3, rest=0.8)
SDS = (0.3, 0.3, 0.8)


@pytest.mark.parametrize("design", [(14, 60), (6, 24)])
def test_a_difference_of_the_promised_size_is_found_four_times_in_five(design):
    promised = detectable("nice", *design, components=TRUE)
    generator = np.random.default_rng(0)
    detected = 0
    for _ in range(800):
        values = promised.difference + crossed(generator, *design, SDS)
        table = CrossedTable(values, np.ones(design))
        variance = variance_of_mean(table)
        detected += abs(table.mean) > t_quantile(0.95, variance.freedom) * variance.total**0.5
    assert 0.74 <= detected / 800 <= 0.86


def test_more_items_help_until_queries_are_what_is_uncertain():
    few, more, many = (detectable("nice", 14, items, components=TRUE) for items in (10, 100, 100_000))
    assert few.difference > more.difference > many.difference
    assert many.shares.queries > 0.99
    assert many.standard_error == pytest.approx(0.3 / 14**0.5, rel=0.01)


def test_epochs_shrink_the_rest_only_and_more_tests_need_more():
    smallest = detectable("nice", 14, 60, components=TRUE)
    assert smallest.difference > detectable("nice", 14, 60, epochs=4, components=TRUE).difference
    assert smallest.difference < detectable("nice", 14, 60, components=TRUE, tests=20).difference
    assert detectable("nice", 14, 60, components=TRUE, tests=20).alpha == pytest.approx(0.0025)


def test_the_usual_metrics_have_assumptions_and_others_need_them():
    assert 0 < detectable("accuracy", 14, 171).difference < detectable("accuracy", 3, 24).difference < 1
    with pytest.raises(MindgapError, match="nothing is assumed about 'nice'"):
        detectable("nice", 14, 171)
    with pytest.raises(MindgapError, match="no design"):
        detectable("accuracy", 1, 1)


def paired(design, seed: int = 0):
    generator = np.random.default_rng(seed)
    base = 3 + crossed(generator, *design, (0.5, 1.0, 0.0))
    return cells({"control": {"nice": base}, "prompt": {"nice": base + 0.2 + crossed(generator, *design, SDS)}})


def test_after_a_run_its_own_variance_says_the_same():
    design = (40, 100)
    before = detectable("nice", *design, components=TRUE)
    after = detectable_after(paired(design), cell("prompt"), CONTROL, "nice")
    assert after.difference == pytest.approx(before.difference, rel=0.25)


def test_components_are_those_the_data_were_made_with():
    estimates = [components_of(paired((40, 100), seed), cell("prompt"), CONTROL, "nice") for seed in range(10)]
    for name in ("queries", "items", "rest"):
        assert np.mean([getattr(components, name) for components in estimates]) == pytest.approx(
            getattr(TRUE, name), rel=0.1
        )
