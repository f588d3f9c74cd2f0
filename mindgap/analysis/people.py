"""Analyses people's ratings of a group: how judges agree with them, and means and differences anchored in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mindgap.judges.empty import EMPTY_RESPONSE
from mindgap.results.cards import Place, place_of
from mindgap.results.cell import CellResult
from mindgap.results.judgements import PERSON, Judgements, read_judgements
from mindgap.results.rating_plan import RatingPlan, read_plan
from mindgap.results.sweep import Group, SweepResults
from mindgap.stats.agreement import Agreement, agreement
from mindgap.stats.ppi import Anchored, anchored_mean, tuned_power
from mindgap.stats.samples import JUDGED

LOWEST, HIGHEST = 1.0, 5.0
PEOPLE = "people"
"""Stands for all raters together, by the mean of their ratings, where a rater's name would stand."""


@dataclass(frozen=True)
class RaterAgreement:
    """How two agree over all samples that both scored: a judge and people, or two people.

    Attributes:
        first: Name of a judge or person.
        second: Name of a person, or `PEOPLE`.
        metric: What was scored.
        agreement: How far they agree.
    """

    first: str
    second: str
    metric: str
    agreement: Agreement


@dataclass(frozen=True)
class AnchoredEstimate:
    """A cell's mean, or its difference from the reference, by people, by a judge, and by both.

    Attributes:
        cell: What people call the cell.
        metric: What was scored.
        judge: Name of the judge.
        estimates: By people alone, by the judge alone, and by the judge corrected by people.
    """

    cell: str
    metric: str
    judge: str
    estimates: Anchored


@dataclass(frozen=True)
class AnchoredGroup:
    """A group that people rated.

    Attributes:
        group: The cells.
        judges: Names of those that scored them, people aside.
        ratings: How many samples of the group each person rated, where equal responses count apart.
        agreements: Of each judge with people, and of each two people.
        means: Of each cell by each judge.
        differences: Of each cell from the reference, by each judge.
    """

    group: Group
    judges: tuple[str, ...]
    ratings: Mapping[str, int]
    agreements: tuple[RaterAgreement, ...]
    means: tuple[AnchoredEstimate, ...]
    differences: tuple[AnchoredEstimate, ...]


@dataclass(frozen=True)
class _Scores:
    """A group's scores as arrays `[cells, places]`, NaN = no score.

    Attributes:
        places: All of the group's.
        values: By person or judge, and measure.
        people: By measure, the mean of all people who rated a sample.
    """

    places: Sequence[Place]
    values: Mapping[str, Mapping[str, np.ndarray]]
    people: Mapping[str, np.ndarray]

    def clusters(self, cells: int = 1) -> tuple[list[str], list[str]]:
        """Query and item of each place, for as many cells one after another."""
        return [place[0] for place in self.places] * cells, [place[1] for place in self.places] * cells


def anchor_sweep(sweep: SweepResults, *, seed: int = 0, resamples: int = 2_000) -> tuple[AnchoredGroup, ...]:
    """Anchor each of the sweep's groups in which people rated something."""
    plan, judgements = read_plan(sweep.folder), read_judgements(sweep)
    anchored = (anchor(group, plan, judgements, seed=seed, resamples=resamples) for group in sweep.groups)
    return tuple(group for group in anchored if group is not None)


def anchor(
    group: Group, plan: RatingPlan | None, judgements: Judgements, *, seed: int = 0, resamples: int = 2_000
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
    agreements, means, differences = [], [], []
    for metric in JUDGED:
        people = scores.people[metric]
        by_judge = {judge: scores.values[judge][metric] for judge in judges}
        pairs = [(judge, PEOPLE, by_judge[judge], people) for judge in judges]
        pairs += [
            (first, second, scores.values[first][metric], scores.values[second][metric])
            for first, second in combinations(raters, 2)
        ]
        clusters = scores.clusters(len(group.finished))
        for first, second, first_scores, second_scores in pairs:
            agreed = agreement(first_scores.ravel(), second_scores.ravel(), *clusters, seed=seed, resamples=resamples)
            names = first.removeprefix(PERSON), second.removeprefix(PERSON)
            agreements.append(RaterAgreement(*names, metric, agreed))
        for judge, values in by_judge.items():
            judge_means, judge_differences = _estimates(group, metric, judge, people, values, scores, seed, resamples)
            means += judge_means
            differences += judge_differences
    counts = {name.removeprefix(PERSON): _rated(scores.values[name]) for name in raters}
    return AnchoredGroup(group, tuple(judges), counts, tuple(agreements), tuple(means), tuple(differences))


def _estimates(
    group: Group,
    metric: str,
    judge: str,
    people: np.ndarray,
    scored: np.ndarray,
    scores: _Scores,
    seed: int,
    resamples: int,
) -> tuple[list[AnchoredEstimate], list[AnchoredEstimate]]:
    """Means and differences from the reference; the power is tuned once, on all cells' ratings."""
    cells = group.finished
    power = tuned_power(list(zip(people, scored, strict=True)))
    queries, items = map(np.array, scores.clusters())

    def estimate(
        cell: CellResult, human: np.ndarray, machine: np.ndarray, bounds: tuple[float, float]
    ) -> AnchoredEstimate:
        there = ~(np.isnan(human) & np.isnan(machine))
        clusters = queries[there], items[there]
        anchored = anchored_mean(
            human[there], machine[there], *clusters, power=power, bounds=bounds, seed=seed, resamples=resamples
        )
        return AnchoredEstimate(group.name(cell), metric, judge, anchored)

    span = HIGHEST - LOWEST
    base = next((row for row, cell in enumerate(cells) if cell is group.reference), None)
    others = [] if base is None else [row for row in range(len(cells)) if row != base]
    return (
        [estimate(cell, people[row], scored[row], (LOWEST, HIGHEST)) for row, cell in enumerate(cells)],
        [estimate(cells[row], people[row] - people[base], scored[row] - scored[base], (-span, span)) for row in others],
    )


def _read(cells: Sequence[CellResult], plan: RatingPlan, judgements: Judgements) -> _Scores:
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
    peoples_arrays = [arrays for name, arrays in values.items() if name.startswith(PERSON)]
    for arrays in peoples_arrays:
        for metric in JUDGED:
            arrays[metric][:, ~drawn] = np.nan
    people = {
        metric: _mean([arrays[metric] for arrays in peoples_arrays], (len(cells), len(places))) for metric in JUDGED
    }
    _rate_the_empty(cells, index, people, drawn)
    return _Scores(places, values, people)


def _rate_the_empty(
    cells: Sequence[CellResult], index: Mapping[Place, int], people: Mapping[str, np.ndarray], drawn: np.ndarray
) -> None:
    """Responses without text get what every judge gives them where people rated the place, or had nothing to rate."""
    replies = [
        (row, index[place_of(record)], record)
        for row, cell in enumerate(cells)
        for record in cell.records
        if record.no_reply is None
    ]
    text = {place for _, place, record in replies if record.response.strip()}
    rated = ~np.isnan(people["coherence"]).all(0)
    for row, place, record in replies:
        if not record.response.strip() and (rated[place] or (drawn[place] and place not in text)):
            people["coherence"][row, place] = EMPTY_RESPONSE.coherence.value


def _mean(ratings: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Mean of the people who rated a sample, NaN where nobody did."""
    count, total = np.zeros(shape), np.zeros(shape)
    for scores in ratings:
        count += ~np.isnan(scores)
        total += np.nan_to_num(scores)
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)


def _rated(arrays: Mapping[str, np.ndarray]) -> int:
    return int((~np.isnan(np.stack([arrays[metric] for metric in JUDGED])).all(0)).sum())
