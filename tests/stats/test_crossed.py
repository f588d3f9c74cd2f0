"""The two-way variance and the pigeonhole bootstrap, against formulas and simulations that do not share their code."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import crossed

from mindgap.stats.crossed import CrossedTable, Resampling, variance_of_mean


def full(values: np.ndarray) -> CrossedTable:
    return CrossedTable(values, np.ones_like(values))


def test_in_a_complete_table_the_variance_is_that_of_the_analysis_of_variance():
    values = crossed(np.random.default_rng(0), 7, 20, (0.5, 0.8, 1.0))
    rows, columns = values.mean(1), values.mean(0)
    rest = values - rows[:, None] - columns[None, :] + values.mean()
    noise = (rest**2).sum() / (6 * 19) / 140
    variance = variance_of_mean(full(values))
    assert variance.rest == pytest.approx(noise)
    assert variance.queries == pytest.approx(rows.var(ddof=1) / 7 - noise)
    assert variance.items == pytest.approx(columns.var(ddof=1) / 20 - noise)


def test_with_a_third_of_the_cells_missing_the_variance_is_right_on_average():
    generator = np.random.default_rng(0)
    held = generator.random((10, 30)) < 2 / 3
    means, variances = [], []
    for _ in range(1500):
        values = np.where(held, crossed(generator, 10, 30, (0.5, 0.8, 1.0)), 0.0)
        table = CrossedTable(values, held.astype(float))
        means.append(table.mean)
        variances.append(variance_of_mean(table).total)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.12)  # 1,500 draws know a variance to 4 %


def test_shares_of_the_variance_go_to_where_it_comes_from():
    generator = np.random.default_rng(0)
    by_queries = variance_of_mean(full(crossed(generator, 14, 100, (1.0, 0.0, 0.3))))
    by_items = variance_of_mean(full(crossed(generator, 14, 100, (0.0, 1.0, 0.3))))
    assert by_queries.queries > 0.95 * by_queries.total
    assert by_items.items > 0.9 * by_items.total
    assert by_queries.freedom < 15 < by_items.freedom


def test_bootstrap_means_are_those_of_tables_drawn_by_hand():
    values = crossed(np.random.default_rng(0), 4, 9, (0.5, 0.8, 1.0))
    resampling = Resampling(4, 9, resamples=50, seed=5)
    of_queries, of_items = (np.random.default_rng(stream) for stream in np.random.SeedSequence(5).spawn(2))
    rows, columns = of_queries.integers(0, 4, (50, 4)), of_items.integers(0, 9, (50, 9))
    expected = [values[np.ix_(r, c)].mean() for r, c in zip(rows, columns, strict=True)]
    assert resampling.means([full(values)])[:, 0] == pytest.approx(expected)


def test_all_tables_see_the_same_draws():
    values = crossed(np.random.default_rng(0), 6, 20, (0.5, 0.8, 1.0))
    means = Resampling(6, 20, resamples=200).means([full(values), full(values + 1)])
    assert means[:, 1] - means[:, 0] == pytest.approx(np.ones(200))


def test_many_items_are_drawn_in_blocks_to_the_same_effect():
    """More weights than fit a block: the means still average to the mean, and the spread is that of so many items."""
    values = np.random.default_rng(0).normal(0, 1, (1, 5000))
    means = Resampling(1, 5000, resamples=1000).means([full(values)])[:, 0]
    assert len(np.unique(means)) == 1000
    assert means.std() == pytest.approx(values.std() / 5000**0.5, rel=0.1)


def test_parts_of_the_items_add_up_to_the_whole():
    values = crossed(np.random.default_rng(0), 6, 20, (0.5, 0.8, 1.0))
    half = np.arange(20) < 8
    resampling = Resampling(6, 20, resamples=300)
    counts = np.stack([half, ~half]) @ np.ones(20)
    alone = full(np.where(half, values, 0.0))
    queries = np.arange(6) < 3
    of_queries = np.stack([np.ones(6, dtype=bool)] * 2 + [queries])
    within = resampling.means_within([full(values)], of_queries, np.stack([half, ~half, half]))[:, :, 0]
    masked = resampling.means([CrossedTable(alone.sums, np.broadcast_to(half, values.shape).astype(float))])[:, 0]
    assert counts.sum() == 20
    assert within[:, 0] == pytest.approx(masked, nan_ok=True)
    quadrant = np.outer(queries, half).astype(float)
    of_quadrant = resampling.means([CrossedTable(values * quadrant, quadrant)])[:, 0]
    assert within[:, 2] == pytest.approx(of_quadrant, nan_ok=True)


def test_a_resample_without_any_sample_is_not_a_number_rather_than_a_guess():
    table = CrossedTable(np.eye(2), np.eye(2))
    means = Resampling(2, 2, resamples=400).means([table])[:, 0]
    assert 0 < np.isnan(means).sum() < 400
    assert np.nanmax(means) == 1


def test_means_of_many_tables_come_in_blocks_and_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    tables = [full(generator.normal(0, 1, (5, 8))) for _ in range(6)]
    everything = np.ones((1, 5), dtype=bool), np.ones((1, 8), dtype=bool)
    resampling = Resampling(5, 8, resamples=101)
    whole = resampling.means_within(tables, *everything)
    monkeypatch.setattr("mindgap.stats.crossed._BLOCK", 60)
    blocks = list(resampling.blocks_within(tables, *everything))
    assert max(map(len, blocks)) <= 10
    assert np.concatenate(blocks) == pytest.approx(whole)
