"""What a design can detect, before and after: checked by simulating the studies it speaks of."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CONTROL, cell, cells, crossed

from mindgap.core.errors import MindgapError
from mindgap.stats.crossed import CrossedTable
from mindgap.stats.power import Components, components_of, design_for, detectable, detectable_after
from mindgap.stats.significance import no_difference

TRUE = Components(queries=0.3, items=0.3, rest=0.8)
SDS = (0.3, 0.3, 0.8)


@pytest.mark.parametrize(("design", "tests"), [((14, 60), 1), ((6, 24), 1), ((9, 8), 21), ((14, 171), 21)])
def test_a_difference_of_the_promised_size_is_found_four_times_in_five(design, tests):
    promised = detectable("nice", *design, components=TRUE, tests=tests)
    generator = np.random.default_rng(0)
    shifted = [promised.difference + crossed(generator, *design, SDS) for _ in range(800)]
    found = [no_difference(CrossedTable(values, np.ones(design))).p < promised.alpha for values in shifted]
    assert 0.75 <= np.mean(found) <= 0.85


def test_of_three_queries_it_is_what_their_own_items_show():
    promised = detectable("nice", 3, 24, components=TRUE, tests=21)
    assert promised.given == "queries"
    generator = np.random.default_rng(0)
    found = []
    for _ in range(800):
        values = promised.difference + crossed(generator, 3, 24, (0.0, *SDS[1:]))
        table = CrossedTable(values, np.ones((3, 24))).given("queries")
        found.append(no_difference(table).p < promised.alpha)
    assert 0.75 <= np.mean(found) <= 0.85
    assert detectable("nice", 3, 24, components=TRUE, tests=21, population=True).difference > 2 * promised.difference


def test_more_items_help_until_queries_are_what_is_uncertain():
    few, more, many = (detectable("nice", 14, items, components=TRUE) for items in (10, 100, 10_000))
    assert few.difference > more.difference > many.difference
    assert many.shares.queries > 0.99


def test_where_nothing_varies_nothing_is_promised():
    assert detectable("nice", 14, 60, components=Components(0, 0, 0)).difference is None
    with_constant = cells({"control": {"nice": np.full((6, 8), 2.0)}, "prompt": {"nice": np.full((6, 8), 4.0)}})
    assert detectable_after(with_constant, cell("prompt"), CONTROL, "nice").difference is None


def test_the_design_that_would_find_a_difference_is_said_and_does():
    now = detectable("nice", 6, 8, components=TRUE, tests=9)
    queries, items = design_for(now, 0.5, 6, 8)
    assert now.difference > 0.5 >= detectable("nice", queries, items, components=TRUE, tests=9).difference
    assert (queries, items) == design_for(now, 0.5, 6, 8) and queries > 6
    assert design_for(now, 1e-4, 6, 8) is None


def test_epochs_shrink_the_rest_only_and_more_tests_need_more():
    smallest = detectable("nice", 14, 60, components=TRUE)
    assert smallest.difference > detectable("nice", 14, 60, epochs=4, components=TRUE).difference
    assert smallest.difference < detectable("nice", 14, 60, components=TRUE, tests=20).difference
    assert detectable("nice", 14, 60, components=TRUE, tests=20).alpha == pytest.approx(0.0025)


def test_the_usual_metrics_have_assumptions_and_others_need_them():
    assert 0 < detectable("accuracy", 14, 171).difference < detectable("accuracy", 6, 24).difference < 1
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
