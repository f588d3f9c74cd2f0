"""What people's ratings say of a group: how judges agree with them, and means anchored in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mindgap.judges.empty import EMPTY_RESPONSE
from mindgap.results.cards import Place, place_of
from mindgap.results.cell import CellResult
from mindgap.results.judgements import PERSON, Judgements, read_judgements
from mindgap.results.rating_plan import Plan, read_plan
from mindgap.results.sweep import Group, Sweep
from mindgap.stats.agreement import Agreement, agreement
from mindgap.stats.ppi import Anchored, anchored_mean, tuned_power
from mindgap.stats.samples import JUDGED

LOWEST, HIGHEST = 1.0, 5.0
PEOPLE = "people"
"""Who the mean of all raters is said by."""


@dataclass(frozen=True)
class Compared:
    """How two agree on a metric over all samples that both scored: judge and people, or two people."""

    one: str
    other: str
    metric: str
    agreement: Agreement


@dataclass(frozen=True)
class Told:
    """A cell's mean, or its difference from the reference, by people, by a judge, and by both."""

    cell: str
    metric: str
    judge: str
    told: Anchored


@dataclass(frozen=True)
class AnchoredGroup:
    """A group that people rated.

    ratings: samples of the group that each person rated, where equal responses count apart.
    """

    group: Group
    judges: tuple[str, ...]
    ratings: Mapping[str, int]
    compared: tuple[Compared, ...]
    means: tuple[Told, ...]
    differences: tuple[Told, ...]


@dataclass(frozen=True)
class _Scores:
    """places: all of the group's. values: by person or judge, metric and cell, `[places]`, NaN = no score."""

    places: Sequence[Place]
    values: Mapping[str, Mapping[str, np.ndarray]]
    people: Mapping[str, np.ndarray]

    def clusters(self, cells: int = 1) -> tuple[list[str], list[str]]:
        """Query and item of each place, for as many cells one after another."""
        return [place[0] for place in self.places] * cells, [place[1] for place in self.places] * cells


def anchor_sweep(sweep: Sweep, *, seed: int = 0, resamples: int = 2_000) -> tuple[AnchoredGroup, ...]:
    """The sweep's groups in which people rated something."""
    plan, judgements = read_plan(sweep.folder), read_judgements(sweep)
    found = (anchor(group, plan, judgements, seed=seed, resamples=resamples) for group in sweep.groups)
    return tuple(group for group in found if group is not None)


def anchor(
    group: Group, plan: Plan | None, judgements: Judgements, *, seed: int = 0, resamples: int = 2_000
) -> AnchoredGroup | None:
    """The group's means and differences anchored in people's ratings; None where nobody rated any of it.

    Only ratings of drawn places enter: of others it is not known how likely they were to be rated.
    """
    if plan is None or not group.finished:
        return None
    scores = _read(group.finished, plan, judgements)
    raters = [name for name in scores.values if name.startswith(PERSON)]
    judges = [name for name in scores.values if name not in raters]
    if not raters:
        return None
    compared, means, differences = [], [], []
    for metric in JUDGED:
        people = scores.people[metric]
        by_judge = {judge: scores.values[judge][metric] for judge in judges}
        pairs = [(judge, PEOPLE, by_judge[judge], people) for judge in judges]
        pairs += [(a, b, scores.values[a][metric], scores.values[b][metric]) for a, b in combinations(raters, 2)]
        clusters = scores.clusters(len(group.finished))
        for one, other, first, second in pairs:
            found = agreement(first.ravel(), second.ravel(), *clusters, seed=seed, resamples=resamples)
            compared.append(Compared(one.removeprefix(PERSON), other.removeprefix(PERSON), metric, found))
        for judge, values in by_judge.items():
            of_means, of_differences = _told(group, metric, judge, people, values, scores, seed, resamples)
            means += of_means
            differences += of_differences
    counts = {name.removeprefix(PERSON): _rated(scores.values[name]) for name in raters}
    return AnchoredGroup(group, tuple(judges), counts, tuple(compared), tuple(means), tuple(differences))


def _told(
    group: Group,
    metric: str,
    judge: str,
    people: np.ndarray,
    scored: np.ndarray,
    scores: _Scores,
    seed: int,
    resamples: int,
) -> tuple[list[Told], list[Told]]:
    """Means and differences from the reference; the power is tuned once, on all cells' ratings."""
    cells = group.finished
    power = tuned_power(list(zip(people, scored, strict=True)))
    queries, items = map(np.array, scores.clusters())

    def told(cell: CellResult, human: np.ndarray, machine: np.ndarray, bounds: tuple[float, float]) -> Told:
        there = ~(np.isnan(human) & np.isnan(machine))
        clusters = queries[there], items[there]
        found = anchored_mean(
            human[there], machine[there], *clusters, power=power, bounds=bounds, seed=seed, resamples=resamples
        )
        return Told(group.name(cell), metric, judge, found)

    span = HIGHEST - LOWEST
    base = next((row for row, cell in enumerate(cells) if cell is group.reference), None)
    others = [] if base is None else [row for row in range(len(cells)) if row != base]
    return (
        [told(cell, people[row], scored[row], (LOWEST, HIGHEST)) for row, cell in enumerate(cells)],
        [told(cells[row], people[row] - people[base], scored[row] - scored[base], (-span, span)) for row in others],
    )


def _read(cells: Sequence[CellResult], plan: Plan, judgements: Judgements) -> _Scores:
    places = list(dict.fromkeys(place_of(record) for cell in cells for record in cell.records))
    index = {place: number for number, place in enumerate(places)}
    drawn = np.isin(range(len(places)), [index[place] for place in set(plan.drawn) & index.keys()])
    values: dict[str, dict[str, np.ndarray]] = {}
    for row, cell in enumerate(cells):
        column = {record.key: index[place_of(record)] for record in cell.records}
        for name, judged in judgements[cell.name].items():
            arrays = values.setdefault(name, {metric: np.full((len(cells), len(places)), np.nan) for metric in JUDGED})
            for key, pair in judged.items():
                for metric, score in zip(JUDGED, pair, strict=True):
                    if score.value is not None:
                        arrays[metric][row, column[key]] = score.value
    of_people = [arrays for name, arrays in values.items() if name.startswith(PERSON)]
    for arrays in of_people:
        for metric in JUDGED:
            arrays[metric][:, ~drawn] = np.nan
    people = {metric: _mean([arrays[metric] for arrays in of_people], (len(cells), len(places))) for metric in JUDGED}
    _rate_the_empty(cells, index, people, drawn)
    return _Scores(places, values, people)


def _rate_the_empty(
    cells: Sequence[CellResult], index: Mapping[Place, int], people: Mapping[str, np.ndarray], drawn: np.ndarray
) -> None:
    """Responses without text get what every judge gives them where people rated the place, or had nothing to rate."""
    replies = [(row, index[place_of(r)], r) for row, cell in enumerate(cells) for r in cell.records if r.error is None]
    text = {place for _, place, record in replies if record.response.strip()}
    rated = ~np.isnan(people["coherence"]).all(0)
    for row, place, record in replies:
        if not record.response.strip() and (rated[place] or (drawn[place] and place not in text)):
            people["coherence"][row, place] = EMPTY_RESPONSE.coherence.value


def _mean(ratings: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Mean of the people who rated a sample, NaN where nobody did."""
    count, total = np.zeros(shape), np.zeros(shape)
    for one in ratings:
        count += ~np.isnan(one)
        total += np.nan_to_num(one)
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)


def _rated(arrays: Mapping[str, np.ndarray]) -> int:
    return int((~np.isnan(np.stack([arrays[metric] for metric in JUDGED])).all(0)).sum())
