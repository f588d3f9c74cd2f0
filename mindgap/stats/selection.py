"""A strength chosen on one half of the data and reported on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.compare import spread_of
from mindgap.stats.crossed import CrossedTable, Resampling
from mindgap.stats.joint import fewest_clusters, mean_of_chosen, widened
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.tradeoff import Rule, with_reference

Split = Literal["items", "queries"]


@dataclass(frozen=True)
class CrossFit:
    """What a rule's choice is worth where it was not chosen.

    Attributes:
        rule: What chooses.
        split: What is halved.
        values: Of `rule.maximise` and `rule.budget`, held out, by name.
        changes: The same minus the reference's, held out.
        optimism: How much better `rule.maximise` looks on the halves the choice was made on.
        choices: How often each cell was taken, over both halves of all splits.
        chances: The same over the draws.
    """

    rule: Rule
    split: Split
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
    split: Split = "items",
    splits: int = 5,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> CrossFit:
    """Choose by a rule on one half of the items (or queries), report the choice on the other, and the other way round.

    Averaged over random halvings. In every bootstrap draw the choice is made anew, and what the choices are worth
    varies; that is part of the interval (`joint.mean_of_chosen`). A sample is missing where the cell chosen for it has
    no value.

    Args:
        samples: Of a sweep.
        reference: What losses are measured against; it can always be chosen.
        rule: What chooses.
        cells: To choose from; None = all of the reference's model.
        split: What is halved.
        splits: How often.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.

    Raises:
        MindgapError: A half has no value of some cell.
    """
    rivals = with_reference(samples, reference, cells)
    metrics = (rule.maximise, rule.budget)
    samples.require_one_judge(rivals, metrics)
    tables = [samples.cell_table(cell, metric) for cell in rivals for metric in metrics]
    halves = _halvings(samples, split, splits, seed)
    sums, counts = _within(tables, halves, split)
    if not counts.all():
        raise MindgapError(f"too few {split} to halve: a half holds no value of some cell")
    point = (sums / counts).reshape(2 * splits, len(rivals), len(metrics))
    resampling = Resampling(len(samples.queries), len(samples.items), resamples, seed)
    drawn = resampling.means_within(tables, halves, split).reshape(resamples, *point.shape)
    draws = widened(point, drawn, fewest_clusters(samples), seed)
    picks = rule.choose(point[..., 0], point[..., 1], 0)
    drawn_picks = rule.choose(draws[..., 0], draws[..., 1], 0)
    complement = np.arange(2 * splits) ^ 1
    weights = counts[complement, 0] / counts[:, 0].sum()
    worth = point[complement[None, :], drawn_picks] * weights[:, None]  # of a draw's choice, on the other half
    within = halves[:, samples.item if split == "items" else samples.query]
    settings: dict[str, Any] = {"seed": seed, "resamples": resamples, "level": level}
    values: dict[str, Estimate] = {}
    changes: dict[str, Estimate] = {}
    for number, metric in enumerate(metrics):
        own, due = samples.paired(metric, rivals)
        bounds, if_chosen = samples.metric(metric).scale.bounds, worth[..., number].sum(1)
        for into, each, limits in ((values, own, bounds), (changes, own - own[0], spread_of(bounds))):
            into[metric] = mean_of_chosen(samples, _held_out(each, within, picks), due, if_chosen, limits, **settings)
    where_chosen = point[np.arange(2 * splits), picks, 0]
    optimism = where_chosen - point[complement, picks, 0]
    return CrossFit(
        rule, split, values, changes, float(optimism @ weights), _shares(rivals, picks), _shares(rivals, drawn_picks)
    )


def _halvings(samples: Samples, split: Split, splits: int, seed: int) -> np.ndarray:
    """Random halves of the levels, each followed by its complement: bool `[2 * splits, levels]`."""
    levels = len(samples.items if split == "items" else samples.queries)
    if levels < 2:
        raise MindgapError(f"one of {split} cannot be halved")
    generator = np.random.default_rng(seed)
    halves = []
    for _ in range(splits):
        half = np.zeros(levels, dtype=bool)
        half[generator.permutation(levels)[: levels // 2]] = True
        halves += [half, ~half]
    return np.stack(halves)


def _within(tables: Sequence[CrossedTable], halves: np.ndarray, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of each table in each half: two `[halves, tables]`."""
    axis = 0 if split == "items" else 1
    sums = halves @ np.stack([table.sums.sum(axis) for table in tables], axis=1)
    return sums, halves @ np.stack([table.counts.sum(axis) for table in tables], axis=1)


def _held_out(values: np.ndarray, within: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """Each sample's value in the cell chosen on the half it is not in, averaged over the splits: `[samples]`.

    Args:
        values: `[cells, samples]`.
        within: Whether each half holds each sample, `[halves, samples]`.
        picks: The cell chosen on each half, `[halves]`.
    """
    chosen = np.where(within, 0.0, values[picks])
    result: np.ndarray = 2 * chosen.mean(0)  # half of the terms are of the half a sample is in, and 0
    return result


def _shares(cells: Sequence[CellId], picks: np.ndarray) -> dict[CellId, float]:
    counts = np.bincount(picks.ravel(), minlength=len(cells)) / picks.size
    return dict(zip(cells, counts.tolist(), strict=True))
