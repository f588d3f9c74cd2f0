"""Agreement between judges: published worked examples, other libraries, and intervals that know of clusters."""

from __future__ import annotations

import numpy as np
import pytest

from mindgap.stats.agreement import (
    agreement,
    agreement_by_query,
    alpha_estimate,
    krippendorff_alpha,
    quadratic_kappa,
    spearman,
)

NO = np.nan
# Krippendorff (2011), example C: four observers, twelve units, missing ratings.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NO, NO, NO],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NO, 3],
        [NO, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NO],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NO],
    ]
)


def scores(size: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.normal(3, 1, size)
    return tuple(np.clip(np.round(truth + generator.normal(0, noise, size)), 1, 5) for _ in range(2))  # type: ignore[return-value]


def by_hand(ratings: np.ndarray, ordinal: bool) -> float:
    """Alpha from the definition: distances of all pairs, within units and over all, in a table of coincidences."""
    units = [unit[~np.isnan(unit)] for unit in ratings.T if (~np.isnan(unit)).sum() > 1]
    pooled = np.concatenate(units)

    def distance(first: float, second: float) -> float:
        low, high = sorted((first, second))
        if not ordinal:
            return (high - low) ** 2
        between = ((pooled >= low) & (pooled <= high)).sum()
        return (between - ((pooled == low).sum() + (pooled == high).sum()) / 2) ** 2 if low != high else 0.0

    observed = sum(sum(distance(x, y) for x in unit for y in unit) / (len(unit) - 1) for unit in units) / len(pooled)
    expected = sum(distance(x, y) for x in pooled for y in pooled) / len(pooled) / (len(pooled) - 1)
    return 1 - observed / expected


def test_alpha_is_that_of_krippendorffs_worked_example() -> None:
    assert round(krippendorff_alpha(PUBLISHED, "interval"), 3) == 0.849
    assert round(krippendorff_alpha(PUBLISHED, "ordinal"), 3) == 0.815


@pytest.mark.parametrize("level", ["interval", "ordinal"])
def test_alpha_with_holes_is_that_of_its_definition(level: str) -> None:
    generator = np.random.default_rng(3)
    ratings = np.round(generator.normal(3, 1, 30) + generator.normal(0, 0.8, (3, 30)))
    ratings[generator.random((3, 30)) < 0.3] = NO
    assert krippendorff_alpha(ratings, level) == pytest.approx(by_hand(ratings, level == "ordinal"))  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0])
def test_kappa_is_that_of_scikit_learn(noise: float) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    a, b = scores(300, noise)
    assert quadratic_kappa(a, b) == pytest.approx(metrics.cohen_kappa_score(a, b, weights="quadratic"))


@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0])
def test_rank_correlation_is_that_of_scipy(noise: float) -> None:
    from scipy import stats

    a, b = scores(300, noise)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_pairs_with_a_missing_score_are_left_out_and_counted() -> None:
    a, b = scores(40, 0.7)
    with_holes = np.where(np.arange(40) % 4 == 0, NO, b)
    kept = ~np.isnan(with_holes)
    assert spearman(a, with_holes) == pytest.approx(spearman(a[kept], b[kept]))
    assert quadratic_kappa(a, with_holes) == pytest.approx(quadratic_kappa(a[kept], b[kept]))
    agreed = agreement(a, with_holes, [0] * 40, range(40))
    assert (agreed.kappa.n, agreed.kappa.missing) == (30, 10)
    assert agreed.kappa.value == pytest.approx(quadratic_kappa(a[kept], b[kept]))


def test_expected_scores_are_rounded_for_kappa_alone() -> None:
    a = np.array([1.4, 2.5, 3.6, 4.9, 1.2])
    assert quadratic_kappa(a, np.array([1, 3, 4, 5, 1])) == 1
    assert spearman(a, np.array([1, 3, 4, 5, 1])) < 1  # 1.4 and 1.2 are not tied


def test_kappa_and_alpha_see_a_shift_that_ranks_do_not() -> None:
    a, b = np.tile([1.0, 2, 3], 20), np.tile([3.0, 4, 5], 20)
    assert spearman(a, b) == 1
    assert quadratic_kappa(a, b) < 0.3 and krippendorff_alpha(np.stack([a, b])) < 0.3


@pytest.mark.parametrize("constant", [np.full(6, 3.0), np.full(6, NO)])
def test_what_cannot_be_had_is_none_with_the_reason(constant: np.ndarray) -> None:
    assert np.isnan(spearman(constant, constant)) and np.isnan(quadratic_kappa(constant, constant))
    agreed = agreement(constant, constant, list("aabbcc"), list("xyxyxy"))
    for statistic in (agreed.spearman, agreed.kappa, agreed.alpha, agreed.alpha_ordinal):
        assert statistic.value is None and statistic.note


def test_judges_of_different_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        spearman(np.ones(3), np.ones(4))


def test_the_interval_widens_where_queries_differ_in_how_well_judges_agree() -> None:
    """The same pairs, once as if all were of their own kind, once in the ten queries that they come from."""
    generator = np.random.default_rng(0)
    queries, items = np.repeat(np.arange(10), 40), np.tile(np.arange(40), 10)
    a = generator.normal(3, 1, 400)
    b = np.where(queries % 2 == 0, a, generator.normal(3, 1, 400))  # in every other query the judges share nothing
    clustered = agreement(a, b, queries, items).spearman
    as_if_independent = agreement(a, b, [0] * 400, range(400)).spearman
    assert clustered.value == as_if_independent.value is not None
    width, plain = (e.high - e.low for e in (clustered, as_if_independent))  # type: ignore[operator]
    assert width > 1.5 * plain
    within = agreement_by_query(a, b, queries, items)  # type: ignore[var-annotated]
    assert within[0].spearman.value == pytest.approx(1) and abs(within[1].spearman.value or 0) < 0.4


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Correlation 0.6 of normal scores in 8 queries of 25 items; the rank correlation then is 6/pi asin(0.3)."""
    truth = 6 / np.pi * np.arcsin(0.3)
    generator = np.random.default_rng(0)
    queries, items = np.repeat(np.arange(8), 25), np.tile(np.arange(25), 8)
    held = 0
    for _ in range(60):
        a = generator.normal(size=200)
        b = 0.6 * a + 0.8 * generator.normal(size=200)
        agreed = agreement(a, b, queries, items, resamples=300).spearman
        held += agreed.low <= truth <= agreed.high  # type: ignore[operator]
    assert held >= 54


def test_row_order_changes_nothing_and_the_seed_fixes_the_draws() -> None:
    a, b = scores(60, 0.7)
    queries, items = np.repeat(np.arange(6), 10), np.tile(np.arange(10), 6)
    agreed = agreement(a, b, queries, items, seed=1)
    order = np.random.default_rng(0).permutation(60)
    again = agreement(a[order], b[order], queries[order], items[order], seed=1)
    for name in ("spearman", "kappa", "alpha", "alpha_ordinal"):
        first, second = getattr(agreed, name), getattr(again, name)
        assert [first.value, first.low, first.high] == pytest.approx([second.value, second.low, second.high])
    assert agreement(a, b, queries, items, seed=1) == agreed != agreement(a, b, queries, items, seed=2)


def test_few_clusters_are_said() -> None:
    a, b = scores(60, 0.7)
    agreed = agreement(a, b, np.repeat(np.arange(3), 20), np.tile(np.arange(20), 3))
    assert "few clusters (3 queries)" in agreed.kappa.note


def test_alpha_of_several_raters_has_its_interval() -> None:
    alpha = alpha_estimate(PUBLISHED, [0] * 12, range(12), "ordinal")
    assert alpha.value == pytest.approx(krippendorff_alpha(PUBLISHED, "ordinal"))
    assert alpha.low is not None and alpha.high is not None and alpha.low < 0.815 < alpha.high <= 1
    assert (alpha.n, alpha.missing) == (11, 1)  # unit 12 was rated once
