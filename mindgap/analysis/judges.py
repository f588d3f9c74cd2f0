"""Does the judge matter? A group's cells as each judge that scored them sees them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mindgap.analysis.comparison import ALPHA, GroupComparison, JudgesCompared, JudgeView, Ordering, Reversal
from mindgap.analysis.compute import compare_scores
from mindgap.analysis.headline import headline
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Value
from mindgap.core.records import Score
from mindgap.results.cell import CellResult
from mindgap.results.judgements import Judgements, Scores
from mindgap.results.sweep import Group
from mindgap.stats.agreement import Agreement, agreement, agreement_by_query, alpha_estimate
from mindgap.stats.bootstrap import t_quantile
from mindgap.stats.crossed import variance_of_mean
from mindgap.stats.samples import JUDGED, CellId, Samples, from_columns

Means = Mapping[str, Mapping[str, Estimate]]
"""By cell's folder and metric."""

NOT_ASKED = Score(None, "not judged")

WORK = 40_000_000
"""Samples times resamples of one agreement: some seconds. With many samples, fewer resamples are as good."""


def judges_compared(comparison: GroupComparison, recorded: Judgements) -> JudgesCompared:
    """What every judge of the group's cells says of them, and people."""
    group = comparison.group
    names = list(dict.fromkeys([group.judge, *(name for cell in group.finished for name in recorded[cell.name])]))
    judges = {name: _Judge(group, name, recorded) for name in names}
    own = judges[group.judge]
    means = {
        name: {cell.name: {metric: judge.mean(cell, metric) for metric in JUDGED} for cell in group.finished}
        for name, judge in judges.items()
    }
    views = [JudgeView(own.name, own.scored, own.total, means[own.name], headline(comparison))]
    views += [_view(judge, own, means) for judge in judges.values() if judge is not own]
    return JudgesCompared(
        own.name,
        tuple(views),
        _alpha(list(judges.values())),
        tuple(_reversals(list(judges.values()), group)),
    )


class _Judge:
    """The group's samples with one judge's scores; NaN where it gave none."""

    def __init__(self, group: Group, name: str, recorded: Judgements) -> None:
        self.name, self.group = name, group
        cells = group.finished
        scores = [recorded[cell.name].get(name, {}).get(one.key) for cell in cells for one in cell.records]
        records = [(cell, one) for cell in cells for one in cell.records]
        columns: dict[str, Any] = {
            "model": [cell.model for cell, _ in records],
            "method": [cell.name for cell, _ in records],
            "query": [one.query for _, one in records],
            "item": [one.item for _, one in records],
            "epoch": [one.epoch for _, one in records],
            "judge": [name] * len(records),
        }
        for place, metric in enumerate(JUDGED):
            columns[metric] = np.array([_value(one, place) for one in scores], dtype=float)
        self.scored = int((~np.isnan(columns["behaviour"]) | ~np.isnan(columns["coherence"])).sum())
        self.total = len(records)
        self.samples: Samples = from_columns(columns)
        self.recorded = {cell.name: recorded[cell.name].get(name, {}) for cell in cells}

    def values(self, metric: str) -> np.ndarray:
        """Scores of all samples of all cells that exist, `[samples]`, in the same order for every judge."""
        return self.samples.metric(metric).values[self.samples.present]

    def clusters(self) -> tuple[list[str], list[str]]:
        """Query and item of each of `values`."""
        place = np.nonzero(self.samples.present)[1]
        queries = [str(self.samples.queries[code]) for code in self.samples.query[place]]
        return queries, [str(self.samples.items[code]) for code in self.samples.item[place]]

    def mean(self, cell: CellResult, metric: str) -> Estimate:
        config = self.group.reference.config
        draws = {"seed": int(config.get("seed", 0)), "resamples": int(config.get("resamples", 10_000))}
        return self.samples.estimate(CellId(cell.model, cell.name, ""), metric, **draws)

    def group_as_judged(self, means: Means) -> Group:
        """The group with this judge's scores in the place of its own judge's."""
        return replace(
            self.group, cells=tuple(self._as_judged(cell, means.get(cell.name, {})) for cell in self.group.cells)
        )

    def _as_judged(self, cell: CellResult, means: Mapping[str, Estimate]) -> CellResult:
        scores = self.recorded.get(cell.name, {})
        records = []
        for one in cell.records:
            judged = zip(JUDGED, scores.get(one.key, (NOT_ASKED, NOT_ASKED)), strict=True)
            values = {name: Value(score.value, score.missing) for name, score in judged}
            behaviour, coherence = (values[name].value for name in JUDGED)
            records.append(
                replace(
                    one,
                    judge=self.name,
                    behaviour=behaviour,
                    coherence=coherence,
                    measures={name: values.get(name, value) for name, value in one.measures.items()},
                )
            )
        return replace(cell, judge=self.name, records=tuple(records), metrics={**cell.metrics, **means})


def _value(scores: Scores | None, place: int) -> float:
    value = None if scores is None else scores[place].value
    return math.nan if value is None else value


def _view(judge: _Judge, own: _Judge, means: Mapping[str, Means]) -> JudgeView:
    mine = means[judge.name]
    found, by_query = _agreement(judge, own)
    return JudgeView(
        judge.name,
        judge.scored,
        judge.total,
        mine,
        headline(compare_scores(judge.group_as_judged(mine))),
        {metric: _ordering(mine, means[own.name], metric) for metric in JUDGED},
        found,
        by_query,
    )


def _agreement(judge: _Judge, own: _Judge) -> tuple[dict[str, Agreement], dict[str, dict[str, Agreement]]]:
    queries, items = own.clusters()
    found, by_query = {}, {}
    for metric in JUDGED:
        one, other = own.values(metric), judge.values(metric)
        draws = {"resamples": _resamples(len(one))}
        found[metric] = agreement(one, other, queries, items, **draws)
        by_query[metric] = agreement_by_query(one, other, queries, items, **draws)
    return found, by_query


def _alpha(judges: Sequence[_Judge]) -> dict[str, Estimate]:
    """Krippendorff's alpha of all judges together."""
    if len(judges) < 2:
        return {}
    queries, items = judges[0].clusters()
    ratings = {metric: np.stack([judge.values(metric) for judge in judges]) for metric in JUDGED}
    draws = _resamples(len(queries))
    return {metric: alpha_estimate(given, queries, items, resamples=draws) for metric, given in ratings.items()}


def _resamples(samples: int) -> int:
    return min(2_000, max(200, WORK // max(1, samples)))


def _ordering(one: Means, other: Means, metric: str) -> Ordering:
    from scipy import stats

    pairs = [(one[cell][metric].value, other[cell][metric].value) for cell in one]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if len(known) < 2:
        return Ordering(None, None, len(known))
    a, b = np.array(known).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return Ordering(None, None, len(known))
    return Ordering(float(stats.kendalltau(a, b).statistic), float(stats.spearmanr(a, b).statistic), len(known))


def _reversals(judges: Sequence[_Judge], group: Group) -> list[Reversal]:
    """Pairs of cells that two judges put in opposite order, each with an interval that leaves out 0.

    Each judge's paired difference of the two cells must leave out 0, in an interval widened (Bonferroni) for all pairs
    of cells, pairs of judges, and metrics that are looked at. Differences of scale between judges, and orders that
    noise alone can turn round, therefore raise no alarm. The headline's word "clear" also asks for a permutation test,
    which few queries cannot pass: a warning may come where the headline is still silent.
    """
    pairs = list(itertools.combinations(group.finished, 2))
    level = 1 - ALPHA / max(1, len(pairs) * math.comb(len(judges), 2) * len(JUDGED))
    found = []
    for metric in JUDGED:
        for first, second in pairs:
            said = [(judge.name, _apart(judge.samples, first, second, metric, level)) for judge in judges]
            clear = [(name, one) for name, one in said if one is not None and (one.low > 0 or one.high < 0)]  # type: ignore[operator]
            for (a, of_a), (b, of_b) in itertools.combinations(clear, 2):
                if (of_a.value > 0) != (of_b.value > 0):  # type: ignore[operator]
                    found.append(Reversal(metric, group.name(first), group.name(second), a, of_a, b, of_b))
    return found


def _apart(samples: Samples, first: CellResult, second: CellResult, metric: str, level: float) -> Estimate | None:
    """Paired difference of two cells, first minus second, with a t interval; None where the pairs give none."""
    values, due = samples.paired(metric, [CellId(cell.model, cell.name, "") for cell in (first, second)])
    changes = values[0] - values[1]
    known = int((~np.isnan(changes)).sum())
    if known < 2:
        return None
    table = samples.table(changes)
    variance = variance_of_mean(table)
    if max(table.levels) == 1 or variance.total == 0:
        return None
    error = t_quantile(level, variance.freedom) * math.sqrt(variance.total)
    return Estimate(table.mean, table.mean - error, table.mean + error, known, int(due.sum()) - known)
