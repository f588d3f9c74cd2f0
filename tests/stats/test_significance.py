"""Tests at the level of clusters: they reject a true null as rarely as they say, and corrections are the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulated import crossed

from mindgap.stats.crossed import CrossedTable, variance_of_mean
from mindgap.stats.significance import UNEVEN, adjust, least_t, no_difference, straightened, unevenness


def full(values: np.ndarray) -> CrossedTable:
    return CrossedTable(values, np.ones_like(values))


@pytest.mark.parametrize(
    ("design", "sds"),
    [
        ((14, 60), (0.6, 0.3, 0.8)),
        ((10, 24), (0.2, 1.0, 1.0)),
        ((14, 16), (0.1, 0.6, 0.8)),
        ((6, 8), (0.6, 0.2, 0.8)),
        ((3, 24), (0.5, 0.3, 1.0)),
    ],
    ids=["queries vary", "items vary", "the more numerous vary", "six queries", "three queries"],
)
def test_without_a_difference_one_in_twenty_tests_rejects(design, sds):
    generator = np.random.default_rng(3)
    tests = [no_difference(full(crossed(generator, *design, sds))) for _ in range(600)]
    rejected = np.mean([test.p <= 0.05 for test in tests])
    assert 0.015 <= rejected <= 0.08  # 600 tests know a rate of 5 % to ±1.8 points


def test_skewed_effects_of_queries_reject_less_often_than_by_the_plain_t():
    """Few queries respond, and some of these strongly: a sample that holds none of them looks surer than it is."""
    generator = np.random.default_rng(1)

    def table() -> CrossedTable:
        effects = generator.lognormal(size=(14, 1)) - np.exp(0.5)
        return full(effects + generator.normal(0, 1, (14, 20)))

    tables = [table() for _ in range(500)]
    plain = [2 * stats.t.sf(abs(one.mean) / (v := variance_of_mean(one)).total ** 0.5, v.freedom) for one in tables]
    corrected = [no_difference(one).p for one in tables]
    assert all(ours >= theirs * (1 - 1e-9) for ours, theirs in zip(corrected, plain, strict=True))
    assert np.mean([p < 0.01 for p in corrected]) < 0.75 * np.mean([p < 0.01 for p in plain])


def test_one_sided_effects_are_noticed_over_a_family_and_normal_ones_seldom_are():
    """Where the noise of a reply decides, nothing is uneven whatever the effects are."""
    generator = np.random.default_rng(2)

    def family(effects, scale: float) -> float:
        return unevenness([full(scale * effects() + generator.normal(0, 1, (14, 24))) for _ in range(21)])

    normal = [family(lambda: generator.normal(0, 1, (14, 1)), 1.0) for _ in range(100)]
    one_sided = [family(lambda: generator.lognormal(size=(14, 1)) - np.exp(0.5), 1.0) for _ in range(100)]
    noise = [family(lambda: 0.0, 0.0) for _ in range(100)]
    assert np.mean(np.array(normal) > UNEVEN) <= 0.1
    assert np.mean(np.array(noise) > UNEVEN) <= 0.15
    assert np.mean(np.array(one_sided) > UNEVEN) >= 0.9


@pytest.mark.parametrize("design", [(14, 8), (6, 8), (9, 8)])
def test_a_large_effect_on_few_queries_is_clear_however_many_tests_there_are(design):
    """With 21 tests Holm asks for p below 0.0024, which sign flips of eight clusters cannot give."""
    values = crossed(np.random.default_rng(0), *design, (0.3, 0.2, 0.8)) + 2
    assert no_difference(full(values)).p * 21 < 0.05


@pytest.mark.parametrize("skewness", [-0.8, -0.1, 0.0, 0.1, 0.8])
def test_the_least_t_is_the_one_with_which_the_test_just_rejects(skewness):
    least = float(least_t(np.array(7.0), np.array(skewness), 0.01))
    reached = min(least, straightened(least, skewness))
    assert 2 * stats.t.sf(reached, 7) == pytest.approx(0.01)


def test_ten_thousand_samples_of_two_queries_that_disagree_prove_nothing():
    values = np.stack([np.full(171, 1.0), np.full(171, -0.4)]) + np.random.default_rng(0).normal(0, 0.1, (2, 171))
    assert no_difference(full(values)).p > 0.3


def test_symmetric_values_of_one_item_are_tested_as_by_scipy():
    values = np.array([[0.5], [1.0], [1.5], [2.0], [2.5]])
    test = no_difference(full(values))
    assert test.p == pytest.approx(stats.ttest_1samp(values.ravel(), 0).pvalue)
    assert "4.0 degrees of freedom" in test.method


def test_the_sign_and_the_unit_of_the_differences_do_not_matter():
    values = crossed(np.random.default_rng(0), 8, 12, (0.3, 0.3, 1.0)) ** 3 + 0.2
    p = no_difference(full(values)).p
    assert no_difference(full(-values)).p == pytest.approx(p)
    assert no_difference(full(100 * values)).p == pytest.approx(p)


@pytest.mark.parametrize(
    ("values", "p", "said"),
    [
        (np.zeros((14, 20)), 1, "no difference"),
        (np.full((14, 20), 0.3), None, "no variation"),
        (np.ones((1, 1)), None, "one query and one item"),
    ],
)
def test_what_cannot_be_tested_says_why(values, p, said):
    test = no_difference(full(values))
    assert test.p == p and said in test.method


def test_no_pairs_are_no_test():
    assert no_difference(CrossedTable(np.zeros((14, 20)), np.zeros((14, 20)))).p is None


def test_holm_steps_down_and_never_changes_the_order():
    assert adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_benjamini_hochberg_is_scipys():
    p = np.random.default_rng(0).uniform(0, 0.2, 12)
    assert adjust(p.tolist(), "bh") == pytest.approx(stats.false_discovery_control(p))


def test_what_could_not_be_tested_does_not_count_as_a_test():
    assert adjust([0.01, None, 0.02]) == (pytest.approx(0.02), None, pytest.approx(0.02))
    assert adjust([0.9, 0.8]) == (1.0, 1.0)
