"""Pools what was run under several seeds: replicates of one cell, whose samples are further epochs of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mindgap.core.keys import content_key
from mindgap.measures.estimates import count, estimates
from mindgap.results.cell import BESIDE_CELLS, CellResult
from mindgap.results.naming import flat, unseeded
from mindgap.results.saved import joined, shifted

REPLICATED = ("seed", "epochs")
"""Settings in which the replicates of a cell may differ."""

Seed = Any
"""Of a configuration; None where it names none."""


def pooled(cells: Sequence[CellResult]) -> list[CellResult]:
    """`cells`, those that differ in seed or number of epochs alone become one, with `replicates`.

    Samples of another seed are further epochs: seed number s (of the sorted seeds of all `cells`) has the epochs from
    s times the largest number of epochs on, in every cell, so that cells stay paired by seed and epoch. Of two cells
    with one seed, the one with more epochs holds all samples of the other and stands for both. Cells that failed,
    and twins that differ in nothing, stay apart.
    """
    epochs = max((_epochs(cell) for cell in cells), default=1)
    seeds = sorted({_seed(cell) for cell in cells}, key=lambda seed: (seed is None, seed or 0))
    first_epoch = {seed: number * epochs for number, seed in enumerate(seeds)}
    by_settings: dict[str, list[CellResult]] = {}
    for cell in cells:
        by_settings.setdefault(_settings(cell), []).append(cell)
    together = []
    for members in by_settings.values():
        by_run = Counter((_seed(cell), _epochs(cell)) for cell in members)
        if max(by_run.values()) > 1:
            together += [_shifted(cell, first_epoch) for cell in members]
        else:
            together.append(_one(members, first_epoch))
    return together


def seeds_of(cell: CellResult) -> tuple[Seed, ...]:
    """Seeds that the cell's samples were made with, in order."""
    return tuple(dict.fromkeys(_seed(run) for run in cell.runs))


def _one(members: Sequence[CellResult], first_epoch: Mapping[Seed, int]) -> CellResult:
    """One cell of replicates."""
    most: dict[Seed, CellResult] = {}
    for cell in members:
        known = most.get(_seed(cell))
        if known is None or _epochs(cell) > _epochs(known):
            most[_seed(cell)] = cell
    files = tuple(sorted(members, key=lambda cell: (first_epoch[_seed(cell)], _epochs(cell))))
    runs = [most[seed] for seed in sorted(most, key=first_epoch.__getitem__)]
    first = _shifted(runs[0], first_epoch)
    if len(runs) == 1:
        return first if len(members) == 1 else replace(first, replicates=files)
    records = joined(_shifted(run, first_epoch).records for run in runs)
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.counts)
    costs = [run.judge_usd for run in runs]
    doses = [run.dose for run in runs if run.dose is not None]
    return replace(
        first,
        records=records,
        replicates=files,
        metrics=estimates(
            records,
            first.measures,
            seed=int(first.config.get("seed") or 0),
            resamples=int(first.config.get("resamples") or 10_000),
            population=bool(first.config.get("population")),
        ),
        counts={**counts, **count(records, first.measures)},
        seconds=sum(run.seconds for run in runs),
        judge_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        dose=max(doses, default=None),
    )


def _shifted(cell: CellResult, first_epoch: Mapping[Seed, int]) -> CellResult:
    """The cell with its epochs counted on from those of smaller seeds."""
    shift = first_epoch[_seed(cell)]
    if not shift:
        return cell
    return replace(cell, records=shifted(cell.records, shift), replicates=(cell,))


def _settings(cell: CellResult) -> str:
    """Key of all that replicates have in common; of a failed cell, of itself alone."""
    left_out = {*BESIDE_CELLS, "epochs", "resamples", "population", *(("strength",) if cell.strength == "none" else ())}
    return content_key(
        "replicates",
        model=cell.model,
        method=cell.method,
        label=cell.label,
        strength=cell.strength,
        judge=cell.judge,
        source=cell.source,
        failed=cell.name if cell.status == "failed" else None,
        settings=unseeded(flat({key: value for key, value in cell.config.items() if key not in left_out})),
    )


def _seed(cell: CellResult) -> Seed:
    return cell.config.get("seed")


def _epochs(cell: CellResult) -> int:
    return int(cell.config.get("epochs") or 1)
