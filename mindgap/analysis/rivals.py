"""Sets cells against each other that are not the reference: words against steering, and every two; and says what is
still open then, and how large a study would settle it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mindgap.analysis.comparison import MOST_PAIRED, CellComparison, GroupComparison, Pair, Tested
from mindgap.analysis.settle import Kind, Unsettled
from mindgap.core.columns import facts
from mindgap.core.errors import MindgapError
from mindgap.core.measurement import Declaration
from mindgap.stats.compare import Difference, difference
from mindgap.stats.power import design_for, detectable_after
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.significance import adjust

RESAMPLES = 2_000
"""Behind the intervals of all pairs, of which there are many."""
MOST = 20_000
"""Samples of a cell beyond which a design is no proposal."""


def rivals(
    group: GroupComparison, samples: Samples, metrics: Sequence[str], draws: Mapping[str, Any]
) -> GroupComparison:
    """`group` with words against steering, every two of its cells, and what is open.

    Args:
        group: Compared with its reference.
        samples: Its cells', by the names of their folders.
        metrics: Primary measures that every cell has.
        draws: Seed and number of resamples.
    """
    if len(group.finished) < 2 or not metrics:
        return group
    fewer = {**draws, "resamples": min(RESAMPLES, draws["resamples"])}
    pairs: list[Pair] = []
    if len(group.finished) <= MOST_PAIRED:
        pairs = _tested(_every_two(group), samples, metrics, fewer)
    sides = _best_of_each(group)
    direct = None if sides is None else _tested([sides], samples, metrics, draws)[0]
    group = replace(group, direct=direct, pairs=tuple(pairs))
    return replace(group, unsettled=tuple(_unsettled(group, samples)))


def _every_two(group: GroupComparison) -> list[tuple[CellComparison, CellComparison]]:
    """Each later cell against each before it."""
    return [(cell, other) for other, cell in itertools.combinations(group.finished, 2)]


def _best_of_each(group: GroupComparison) -> tuple[CellComparison, CellComparison] | None:
    """The steered cell and the cell asked for in words alone that bring the most behaviour, within the limit if any."""
    steered = [cell for cell in group.others if cell.steers and not cell.asks]
    asked = [cell for cell in group.others if cell.asks and not cell.steers]
    best = [_most(group, side) for side in (steered, asked)]
    return None if best[0] is None or best[1] is None else (best[0], best[1])


def _most(group: GroupComparison, cells: Sequence[CellComparison]) -> CellComparison | None:
    """The cell that has most of the behaviour among those within the limit, among all where none is."""
    target = group.behaviour
    if target is None:
        return None
    known = [cell for cell in cells if _mean(cell, target.name) is not None]
    within = [cell for cell in known if _loss(cell) is None or (_loss(cell) or 0.0) <= group.question.margin]
    return max(within or known, key=lambda cell: _mean(cell, target.name) or 0.0, default=None)


def _loss(cell: CellComparison) -> float | None:
    """What a cell has lost of what pays; None where that is not known."""
    if cell.non_inferior is None or cell.non_inferior.estimate.value is None:
        return None
    return -cell.non_inferior.estimate.value


def _mean(cell: CellComparison, metric: str) -> float | None:
    estimate = cell.cell.metrics.get(metric)
    return None if estimate is None else estimate.value


def _tested(
    sides: Sequence[tuple[CellComparison, CellComparison]],
    samples: Samples,
    metrics: Sequence[str],
    draws: Mapping[str, Any],
) -> list[Pair]:
    """The pairs with their differences, p-values adjusted over all of them and all `metrics`."""
    found: list[list[Difference]] = [
        [difference(samples, _id(cell), _id(other), metric, **draws) for metric in metrics] for cell, other in sides
    ]
    flat = [one for of_pair in found for one in of_pair]
    holm, rate = (iter(adjust([one.p for one in flat], correction)) for correction in ("holm", "bh"))
    return [
        Pair(cell, other, {one.metric: Tested(one, next(holm), next(rate)) for one in of_pair})
        for (cell, other), of_pair in zip(sides, found, strict=True)
    ]


def _id(cell: CellComparison) -> CellId:
    return CellId(cell.cell.model, cell.cell.name, "")


def _unsettled(group: GroupComparison, samples: Samples) -> list[Unsettled]:
    """Whether the behaviour is raised at all, whether the chosen cell keeps the limit, and which of words and steering
    brings more: those of these that are open."""
    target = group.behaviour
    if target is None:
        return []
    found = [_gain(group, target, samples), _limit(group, target, samples)]
    if group.direct is not None and (own := group.direct.differences.get(target.name)) is not None and not own.clear:
        cell, other = group.direct.cell, group.direct.other
        tests = len(group.direct.differences)
        found.append(_open("direct", cell, other, target.name, own.estimate.value, samples, tests=tests))
    return [one for one in found if one is not None]


def _gain(group: GroupComparison, target: Declaration, samples: Samples) -> Unsettled | None:
    """Of the cell that raises the behaviour most, where none does so clearly."""
    changes = [
        (tested.estimate.value, cell, tested.clear)
        for cell in group.others
        if (tested := cell.differences.get(target.name)) is not None and tested.estimate.value is not None
    ]
    most, cell, _ = max(changes, key=lambda change: change[0], default=(0.0, group.reference, False))
    if any(clear and change > 0 for change, _, clear in changes):
        return None
    tests = max(1, sum(len(other.differences.keys() & cell.detectable.keys()) for other in group.others))
    if most <= 0:
        return None
    return _open("gain", cell, group.reference, target.name, most, samples, tests=tests)


def _limit(group: GroupComparison, target: Declaration, samples: Samples) -> Unsettled | None:
    """Of the cell that is chosen, if it clearly raises the behaviour, and as far as was asked."""
    if group.best is None:
        return None
    chosen = group.of(group.best.cell)
    kept, gained, least = chosen.non_inferior, chosen.differences.get(target.name), group.question.at_least
    if kept is None or kept.verdict != "undecided" or kept.estimate.value is None:
        return None
    if gained is None or not gained.clear or (least is not None and (_mean(chosen, target.name) or 0.0) < least):
        return None
    return _open("limit", chosen, group.reference, kept.metric, kept.estimate.value + kept.margin, samples)


def _open(
    kind: Kind,
    cell: CellComparison,
    other: CellComparison,
    metric: str,
    distance: float | None,
    samples: Samples,
    *,
    tests: int = 1,
) -> Unsettled | None:
    """What would settle `distance`; None where the samples do not tell their variance."""
    if not distance:
        return None
    queries, items = (len(set(facts(cell.cell.records, name))) for name in ("query", "item"))
    try:
        smallest = detectable_after(samples, _id(cell), _id(other), metric, tests=tests)
    except MindgapError:
        return None
    enough = design_for(smallest, abs(distance), queries, items, most=MOST)
    plain = Unsettled(kind, cell.name, other.name, metric, abs(distance), queries, items, enough)
    if enough is None:
        return plain
    replies = enough[0] * enough[1] - queries * items
    seconds = _sum(replies, cell.price.seconds, other.price.seconds)
    return replace(plain, samples=2 * replies, seconds=seconds, usd=_sum(replies, _usd(cell), _usd(other)))


def _usd(cell: CellComparison) -> float | None:
    """Of a reply and its judgement; None where neither is known to cost anything."""
    known = [usd for usd in (cell.price.usd, cell.price.judge_usd) if usd is not None]
    return sum(known) if known else None


def _sum(replies: int, one: float | None, other: float | None) -> float | None:
    """What so many replies of each of two cells take; None where that of one of them is unknown."""
    return None if one is None or other is None else replies * (one + other)
