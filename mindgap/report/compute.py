"""From a group's samples to its comparison: where the report asks `mindgap.stats`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mindgap.report.comparison import PRIMARY, CellComparison, GroupComparison, Tested
from mindgap.report.data import Group
from mindgap.stats.compare import Difference
from mindgap.stats.compare import compare as compare_samples
from mindgap.stats.permutation import adjust
from mindgap.stats.samples import CellId, Samples, samples_of


def compare(group: Group) -> GroupComparison:
    """Everything that is said of a group; seed and resamples are those that its cells were run with."""
    if group.reference not in group.finished:
        return GroupComparison(group, tuple(CellComparison(cell, group.name(cell)) for cell in group.cells))
    samples = samples_of([replace(r, method=cell.name, strength="") for cell in group.finished for r in cell.records])
    settings = _settings(group)
    tested = _tested(samples, _id(group, group.reference.name), settings) if len(group.finished) > 1 else {}
    cells = [
        CellComparison(cell, group.name(cell), differences=tested.get(_id(group, cell.name), {}))
        for cell in group.cells
    ]
    return GroupComparison(group, tuple(cells))


def _id(group: Group, name: str) -> CellId:
    """Cells go by their folders' names: two may share method and strength and still differ in a setting."""
    return CellId(group.reference.model, name, "")


def _settings(group: Group) -> dict[str, int]:
    config = group.reference.config
    return {"seed": int(config.get("seed", 0)), "resamples": int(config.get("resamples", 10_000))}


def _tested(samples: Samples, reference: CellId, settings: dict[str, int]) -> dict[CellId, dict[str, Tested]]:
    """Differences of every cell from the reference, by cell and metric."""
    tested: dict[CellId, dict[str, Tested]] = {}
    for family in (PRIMARY, [name for name in samples.metrics if name not in PRIMARY]):
        metrics = [name for name in samples.metrics if name in family]
        for one in _adjusted(compare_samples(samples, reference, metrics=metrics, **settings).differences):
            tested.setdefault(one.difference.cell, {})[one.metric] = one
    return {cell: {name: found[name] for name in samples.metrics if name in found} for cell, found in tested.items()}


def _adjusted(differences: Iterable[Difference]) -> list[Tested]:
    differences = list(differences)
    rates = adjust([one.p for one in differences], "bh")
    return [Tested(one, one.p_adjusted, rate) for one, rate in zip(differences, rates, strict=True)]
