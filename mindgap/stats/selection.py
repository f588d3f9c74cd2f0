"""A strength chosen on one part of the data and reported on another that shares no query and no item with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.compare import spread_of
from mindgap.stats.crossed import CrossedTable, Factor, Resampling
from mindgap.stats.joint import fewest_clusters, mean_of_chosen, widened, widths
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.tradeoff import Rule, slack, with_reference


@dataclass(frozen=True)
class CrossFit:
    """What a rule's choice is worth where it was not chosen.

    Attributes:
        rule: What chooses.
        split: The factors that are halved; one that is given or has a single level is not.
        values: Of `rule.maximise` and `rule.budget`, held out, by name.
        changes: The same minus the reference's, held out.
        optimism: How much better `rule.maximise` looks on the parts the choice was made on.
        choices: How often each cell was taken, over the parts of all splits.
        chances: The same over the draws.
    """

    rule: Rule
    split: tuple[Factor, ...]
    values: dict[str, Estimate]
    changes: dict[str, Estimate]
    optimism: float
    choices: dict[CellId, float]
    chances: dict[CellId, float]


def cross_fit(
    samples: Samples,
    reference: CellId,
    rule: Rule,
    *,
    cells: Sequence[CellId] | None = None,
    splits: int = 5,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> CrossFit:
    """Choose by a rule on half of the queries and half of the items, report the choice on the other halves.

    Done with each of the four such parts, so that every sample is reported on once, and averaged over random halvings.
    Halving one factor alone would leave the luck of the other in what is reported. In every bootstrap draw the choice
    is made anew, and what the choices are worth varies; that is part of the interval (`joint.mean_of_chosen`). A sample
    is missing where the cell chosen for it has no value.

    Args:
        samples: Of a sweep.
        reference: What losses are measured against; it can always be chosen.
        rule: What chooses.
        cells: To choose from; None = all of the reference's model.
        splits: How often.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.

    Raises:
        MindgapError: A part has no value of some cell, or there is nothing to halve.
    """
    rivals = with_reference(samples, reference, cells)
    metrics = (rule.maximise, rule.budget)
    samples.require_one_judge(rivals, metrics)
    tables = [samples.cell_table(cell, metric) for cell in rivals for metric in metrics]
    split = _factors(samples, tables[0])
    of_queries, of_items = _parts(tables[0].counts.shape, split, splits, seed)
    counts = np.stack([np.einsum("pq,qi,pi->p", of_queries, table.counts, of_items) for table in tables], axis=1)
    sums = np.stack([np.einsum("pq,qi,pi->p", of_queries, table.sums, of_items) for table in tables], axis=1)
    if not counts.all():
        raise MindgapError(f"too few {' and '.join(split)} to halve: a part holds no value of some cell")
    parts = len(of_queries)
    point = (sums / counts).reshape(parts, len(rivals), len(metrics))
    resampling = Resampling(of_queries.shape[1], of_items.shape[1], resamples, seed)
    margins = _margins(samples, rivals, reference, rule, of_queries, of_items)
    picks = rule.choose(point[..., 0], point[..., 1], 0, margins)
    factors = widths(fewest_clusters(samples), resamples, seed)
    drawn_picks = np.empty((resamples, parts), dtype=int)
    start = 0
    for drawn in resampling.blocks_within(tables, of_queries, of_items):
        block = slice(start, start + len(drawn))
        start = block.stop
        draws = widened(point, drawn.reshape(-1, *point.shape), factors[block])
        drawn_picks[block] = rule.choose(draws[..., 0], draws[..., 1], 0, margins)
    complement = np.arange(parts) ^ 1
    weights = counts[complement, 0] / counts[:, 0].sum()
    worth = point[complement[None, :], drawn_picks] * weights[:, None]  # of a draw's choice, on the other part
    rows = samples.query if of_queries.shape[1] > 1 else np.zeros_like(samples.query)
    columns = samples.item if of_items.shape[1] > 1 else np.zeros_like(samples.item)
    reported = of_queries[complement][:, rows] & of_items[complement][:, columns]
    settings: dict[str, Any] = {"seed": seed, "resamples": resamples, "level": level}
    values: dict[str, Estimate] = {}
    changes: dict[str, Estimate] = {}
    for number, metric in enumerate(metrics):
        own, due = samples.paired(metric, rivals)
        bounds, if_chosen = samples.metric(metric).scale.bounds, worth[..., number].sum(1)
        for into, each, limits in ((values, own, bounds), (changes, own - own[0], spread_of(bounds))):
            into[metric] = mean_of_chosen(samples, _held_out(each, reported, picks), due, if_chosen, limits, **settings)
    where_chosen = point[np.arange(parts), picks, 0]
    optimism = where_chosen - point[complement, picks, 0]
    return CrossFit(
        rule, split, values, changes, float(optimism @ weights), _shares(rivals, picks), _shares(rivals, drawn_picks)
    )


def _factors(samples: Samples, table: CrossedTable) -> tuple[Factor, ...]:
    """What can be halved: what has levels to be drawn from."""
    levels: dict[Factor, int] = {"queries": table.counts.shape[0], "items": table.counts.shape[1]}
    factors = tuple(factor for factor, count in levels.items() if count > 1)
    if not factors:
        raise MindgapError("one query and one item: there is nothing to halve")
    return factors


def _parts(shape: tuple[int, ...], split: tuple[Factor, ...], splits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parts from random halvings, each followed by the one that has no level of it: queries and items of each.

    Returns:
        bool `[parts, queries]` and bool `[parts, items]`.
    """
    generator = np.random.default_rng(seed)
    of_queries, of_items = [], []
    for _ in range(splits):
        queries, items = (
            _half(generator, levels) if factor in split else np.ones(levels, dtype=bool)
            for factor, levels in zip(("queries", "items"), shape, strict=True)
        )
        others = (~queries if "queries" in split else queries, ~items if "items" in split else items)
        pairs = [(queries, items), others]
        if len(split) == 2:
            pairs += [(queries, ~items), (~queries, items)]
        of_queries += [pair[0] for pair in pairs]
        of_items += [pair[1] for pair in pairs]
    return np.stack(of_queries), np.stack(of_items)


def _half(generator: np.random.Generator, levels: int) -> np.ndarray:
    half = np.zeros(levels, dtype=bool)
    half[generator.permutation(levels)[: levels // 2]] = True
    return half


def _margins(
    samples: Samples,
    cells: Sequence[CellId],
    reference: CellId,
    rule: Rule,
    of_queries: np.ndarray,
    of_items: np.ndarray,
) -> np.ndarray:
    """What the rule's confidence asks for in each part (`tradeoff.slack`): `[parts, cells]`."""
    if rule.confidence is None:
        return np.zeros((len(of_queries), len(cells)))
    tables = [samples.change_table(reference, cell, rule.budget) for cell in cells]
    parts = list(zip(of_queries, of_items, strict=True))
    return np.array(
        [
            [
                slack(CrossedTable(*(part[np.ix_(*within)] for part in (table.sums, table.counts))), rule)
                for table in tables
            ]
            for within in parts
        ]
    )


def _held_out(values: np.ndarray, reported: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """Each sample's value in the cell chosen without its query and item, averaged over the splits: `[samples]`.

    Args:
        values: `[cells, samples]`.
        reported: Whether the choice of each part is reported on each sample, `[parts, samples]`.
        picks: The cell chosen on each part, `[parts]`.
    """
    chosen: np.ndarray = np.where(reported, values[picks], 0.0).sum(0)
    return chosen / reported.sum(0)


def _shares(cells: Sequence[CellId], picks: np.ndarray) -> dict[CellId, float]:
    counts = np.bincount(picks.ravel(), minlength=len(cells)) / picks.size
    return dict(zip(cells, counts.tolist(), strict=True))
