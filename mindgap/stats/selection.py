"""A strength chosen on one half of the data and reported on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mindgap.errors import MindgapError
from mindgap.stats.crossed import Resampling, Table
from mindgap.stats.estimate import Estimate
from mindgap.stats.joint import draws_interval, fewest_clusters, widened
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.tradeoff import Rule, with_reference

Split = Literal["items", "queries"]


@dataclass(frozen=True)
class CrossFit:
    """What a rule's choice is worth where it was not chosen.

    values: of `rule.maximise` and `rule.budget`, held out, by name. changes: the same minus the reference's, held out.
    optimism: how much better `rule.maximise` looks on the halves the choice was made on. choices: how often each cell
    was taken, over both halves of all splits. chances: the same over the draws.
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
    """Choose by `rule` on one half of the items (or queries), report the choice on the other, and the other way round.

    Averaged over `splits` random halvings. In every bootstrap draw the choice is made anew, so that its own uncertainty
    is part of the interval. Raises MindgapError if a half has no value of some cell.
    """
    rivals = with_reference(samples, reference, cells)
    metrics = (rule.maximise, rule.budget)
    samples.require_one_judge(rivals, metrics)
    tables = [_table(samples, cell, metric) for cell in rivals for metric in metrics]
    halves = _halvings(samples, split, splits, seed)
    parts = [_masked(table, half, split) for half in halves for table in tables]
    if not all(part.counts.any() for part in parts):
        raise MindgapError(f"too few {split} to halve: a half holds no value of some cell")
    shape = (2 * splits, len(rivals), len(metrics))
    point = np.array([part.mean for part in parts]).reshape(shape)
    drawn = Resampling(len(samples.queries), len(samples.items), resamples, seed).means(parts)
    draws = widened(point, drawn.reshape(resamples, *shape), fewest_clusters(samples), seed)
    sizes = np.array([part.counts.sum() for part in parts]).reshape(shape)[:, 0, 0]
    held_out, held_base, seen, picks = _apply(rule, point[None], sizes)
    drawn_out, drawn_base, _, drawn_picks = _apply(rule, draws, sizes)
    n = int(tables[0].counts.sum())
    changes, drawn_changes = held_out - held_base, drawn_out - drawn_base

    def estimates(values: np.ndarray, spread: np.ndarray) -> dict[str, Estimate]:
        return {
            name: draws_interval(float(values[0, number]), spread[:, number], n, level)
            for number, name in enumerate(metrics)
        }

    return CrossFit(
        rule,
        split,
        estimates(held_out, drawn_out),
        estimates(changes, drawn_changes),
        float(seen[0] - held_out[0, 0]),
        _shares(rivals, picks),
        _shares(rivals, drawn_picks),
    )


def _table(samples: Samples, cell: CellId, metric: str) -> Table:
    measured, row = samples.metric(metric), samples.row(cell)
    return samples.table(np.where(measured.applies[row], measured.values[row], np.nan))


def _halvings(samples: Samples, split: Split, splits: int, seed: int) -> list[np.ndarray]:
    """Random halves of the levels, each followed by its complement: bool `[levels]`, `2 * splits` of them."""
    levels = len(samples.items if split == "items" else samples.queries)
    if levels < 2:
        raise MindgapError(f"one of {split} cannot be halved")
    generator = np.random.default_rng(seed)
    halves = []
    for _ in range(splits):
        half = np.zeros(levels, dtype=bool)
        half[generator.permutation(levels)[: levels // 2]] = True
        halves += [half, ~half]
    return halves


def _masked(table: Table, half: np.ndarray, split: Split) -> Table:
    mask = half[None, :] if split == "items" else half[:, None]
    return Table(table.sums * mask, table.counts * mask)


def _apply(rule: Rule, means: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choice on each half, read off on its complement. means: `[draws, halves, cells, metrics]`, the reference first.

    Returns the choice's and the reference's held-out means `[draws, metrics]`, the choice's mean of `maximise` where it
    was made `[draws]`, and the choices `[draws, halves]`. sizes: samples in each half, the weights of the average.
    """
    picks = rule.choose(means[..., 0], means[..., 1], 0)
    complement = np.arange(means.shape[1]) ^ 1
    weights = sizes[complement] / sizes.sum()
    other = means[:, complement]
    chosen = np.take_along_axis(other, picks[..., None, None], axis=2)[:, :, 0]
    seen = np.take_along_axis(means[..., 0], picks[..., None], axis=2)[..., 0]
    held_out = np.einsum("dhm,h->dm", chosen, weights)
    held_base = np.einsum("dhm,h->dm", other[:, :, 0], weights)
    return held_out, held_base, seen @ weights, picks


def _shares(cells: Sequence[CellId], picks: np.ndarray) -> dict[CellId, float]:
    counts = np.bincount(picks.ravel(), minlength=len(cells)) / picks.size
    return dict(zip(cells, counts.tolist(), strict=True))
