"""Tests at the level of clusters: they reject a true null as rarely as they say, and corrections are the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulated import crossed

from mindgap.stats.crossed import CrossedTable
from mindgap.stats.permutation import adjust, sign_flip


def full(values: np.ndarray) -> CrossedTable:
    return CrossedTable(values, np.ones_like(values))


@pytest.mark.parametrize(
    ("design", "sds"),
    [((14, 60), (0.6, 0.3, 0.8)), ((10, 24), (0.2, 1.0, 1.0)), ((3, 24), (0.5, 0.3, 1.0))],
    ids=["queries vary", "items vary", "three queries"],
)
def test_without_a_difference_one_in_twenty_tests_rejects(design, sds):
    generator = np.random.default_rng(3)
    tests = [sign_flip(full(crossed(generator, *design, sds)), resamples=500, seed=n) for n in range(600)]
    rejected = np.mean([test.p <= 0.05 for test in tests])
    assert 0.015 <= rejected <= 0.08  # 600 tests know a rate of 5 % to ±1.8 points


def test_a_difference_that_all_queries_show_is_found():
    values = crossed(np.random.default_rng(0), 14, 60, (0.3, 0.3, 0.8)) + 0.5
    assert sign_flip(full(values)).p < 0.01


def test_ten_thousand_samples_of_two_queries_that_disagree_prove_nothing():
    values = np.stack([np.full(171, 1.0), np.full(171, -0.4)]) + np.random.default_rng(0).normal(0, 0.1, (2, 171))
    assert sign_flip(full(values)).p > 0.3


def test_with_one_item_per_query_every_pattern_counts_once():
    """Eight queries that all rise by the same and a little: of the 2^7 patterns only the observed one is so extreme."""
    values = 1 + np.random.default_rng(0).normal(0, 0.01, (8, 1))
    test = sign_flip(full(values))
    assert test.p == pytest.approx(1 / 2**7)
    assert test.method == "all sign flips of 8 queries"


def test_few_clusters_are_tested_by_t_and_the_method_says_so():
    values = crossed(np.random.default_rng(0), 3, 1, (1.0, 0.0, 0.0)) + 1
    test = sign_flip(full(values))
    assert test.p == pytest.approx(stats.ttest_1samp(values.ravel(), 0).pvalue)
    assert "too few for sign flips" in test.method


def test_no_difference_at_all_is_no_evidence_and_no_pairs_are_no_test():
    assert sign_flip(full(np.zeros((14, 20)))).p == 1
    assert sign_flip(CrossedTable(np.zeros((14, 20)), np.zeros((14, 20)))).p is None


def test_the_seed_decides_random_patterns():
    values = crossed(np.random.default_rng(0), 30, 30, (0.3, 0.3, 1.0)) + 0.1
    assert sign_flip(full(values), seed=1).p == sign_flip(full(values), seed=1).p
    assert "random" in sign_flip(full(values)).method


def test_holm_steps_down_and_never_changes_the_order():
    assert adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_benjamini_hochberg_is_scipys():
    p = np.random.default_rng(0).uniform(0, 0.2, 12)
    assert adjust(p.tolist(), "bh") == pytest.approx(stats.false_discovery_control(p))


def test_what_could_not_be_tested_does_not_count_as_a_test():
    assert adjust([0.01, None, 0.02]) == (pytest.approx(0.02), None, pytest.approx(0.02))
    assert adjust([0.9, 0.8]) == (1.0, 1.0)
