"""Compares the judges of a group: how each sees its cells, how far they agree, and which cells they turn round."""

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
from mindgap.core.columns import facts
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Value
from mindgap.core.records import Score
from mindgap.results.cell import CellResult
from mindgap.results.judgements import Judgements
from mindgap.results.sweep import Group
from mindgap.stats.agreement import Agreement, agreement, agreement_by_query, alpha_estimate
from mindgap.stats.bootstrap import t_quantile
from mindgap.stats.crossed import variance_of_mean
from mindgap.stats.samples import JUDGED, CellId, Samples, from_columns

Means = Mapping[str, Mapping[str, Estimate]]
"""By the cell's name and measure."""

NOT_ASKED = Score(None, "not judged")

WORK = 40_000_000
"""Samples times resamples of one agreement: some seconds. With many samples, fewer resamples are as good."""


def judges_compared(comparison: GroupComparison, recorded: Judgements) -> JudgesCompared:
    """What every judge of the group's cells, people among them, says of the cells.

    Args:
        comparison: The group, compared by the scores of its own judge.
        recorded: Everybody's scores, as `read_judgements` gives them.
    """
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
        self.total = sum(len(cell.records) for cell in cells)
        columns: dict[str, Any] = {
            "model": [cell.model for cell in cells for _ in range(len(cell.records))],
            "method": [cell.name for cell in cells for _ in range(len(cell.records))],
            "judge": [name] * self.total,
        }
        for key in ("query", "item", "epoch"):
            columns[key] = [fact for cell in cells for fact in facts(cell.records, key)]
        for metric in JUDGED:
            columns[metric] = np.concatenate([_values(cell, name, recorded, metric) for cell in cells])
        self.scored = int((~np.isnan(columns["behaviour"]) | ~np.isnan(columns["coherence"])).sum())
        population = bool(group.reference.config.get("population"))
        self.samples: Samples = from_columns(columns, population=population)
        self.recorded = {cell.name: recorded[cell.name].get(name, {}) for cell in cells}

    def values(self, metric: str) -> np.ndarray:
        """Scores of all samples of all cells that exist, `[samples]`, in the same order for every judge."""
        return self.samples.metric(metric).values[self.samples.present]

    def clusters(self) -> tuple[list[str], list[str]]:
        """Query and item of each of `values`."""
        columns = np.nonzero(self.samples.present)[1]
        queries = [str(self.samples.queries[code]) for code in self.samples.query[columns]]
        return queries, [str(self.samples.items[code]) for code in self.samples.item[columns]]

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
        for record in cell.records:
            judged = zip(JUDGED, scores.get(record.key, (NOT_ASKED, NOT_ASKED)), strict=True)
            values = {name: Value(score.value, score.missing) for name, score in judged}
            behaviour, coherence = (values[name].value for name in JUDGED)
            records.append(
                replace(
                    record,
                    judge=self.name,
                    behaviour=behaviour,
                    coherence=coherence,
                    measures={name: values.get(name, value) for name, value in record.measures.items()},
                )
            )
        return replace(cell, judge=self.name, records=tuple(records), metrics={**cell.metrics, **means})


def _values(cell: CellResult, judge: str, recorded: Judgements, metric: str) -> np.ndarray:
    """A judge's scores of the cell's samples, NaN where it gave none."""
    if judge == cell.judge:
        return np.array(facts(cell.records, metric), dtype=float)
    scores, position = recorded[cell.name].get(judge, {}), JUDGED.index(metric)
    pairs = (scores.get(key) for key in facts(cell.records, "key"))
    return np.array([None if pair is None else pair[position].value for pair in pairs], dtype=float)


def _view(judge: _Judge, own: _Judge, means: Mapping[str, Means]) -> JudgeView:
    judge_means = means[judge.name]
    overall, by_query = _agreement(judge, own)
    return JudgeView(
        judge.name,
        judge.scored,
        judge.total,
        judge_means,
        headline(compare_scores(judge.group_as_judged(judge_means))),
        {metric: _ordering(judge_means, means[own.name], metric) for metric in JUDGED},
        overall,
        by_query,
    )


def _agreement(judge: _Judge, own: _Judge) -> tuple[dict[str, Agreement], dict[str, dict[str, Agreement]]]:
    queries, items = own.clusters()
    overall, by_query = {}, {}
    for metric in JUDGED:
        scores = own.values(metric), judge.values(metric)
        resamples = _resamples(len(queries))
        overall[metric] = agreement(*scores, queries, items, resamples=resamples)
        by_query[metric] = agreement_by_query(*scores, queries, items, resamples=resamples)
    return overall, by_query


def _alpha(judges: Sequence[_Judge]) -> dict[str, Estimate]:
    """Krippendorff's alpha of all judges together."""
    if len(judges) < 2:
        return {}
    queries, items = judges[0].clusters()
    ratings = {metric: np.stack([judge.values(metric) for judge in judges]) for metric in JUDGED}
    resamples = _resamples(len(queries))
    return {metric: alpha_estimate(scores, queries, items, resamples=resamples) for metric, scores in ratings.items()}


def _resamples(samples: int) -> int:
    return min(2_000, max(200, WORK // max(1, samples)))


def _ordering(first: Means, second: Means, metric: str) -> Ordering:
    from scipy import stats

    pairs = [(first[cell][metric].value, second[cell][metric].value) for cell in first]
    complete = [(a, b) for a, b in pairs if a is not None and b is not None]
    if len(complete) < 2:
        return Ordering(None, None, len(complete))
    a, b = np.array(complete).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return Ordering(None, None, len(complete))
    return Ordering(float(stats.kendalltau(a, b).statistic), float(stats.spearmanr(a, b).statistic), len(complete))


def _reversals(judges: Sequence[_Judge], group: Group) -> list[Reversal]:
    """Pairs of cells that two judges put in opposite order, each with an interval that leaves out 0.

    Each judge's paired difference of the two cells must leave out 0, in an interval widened (Bonferroni) for all pairs
    of cells, pairs of judges, and metrics that are looked at. Differences of scale between judges, and orders that
    noise alone can turn round, therefore raise no alarm. The headline's word "clear" also asks for a test,
    which few queries cannot pass: a warning may come where the headline is still silent.
    """
    pairs = list(itertools.combinations(group.finished, 2)) if len(judges) > 1 else []
    level = 1 - ALPHA / max(1, len(pairs) * math.comb(len(judges), 2) * len(JUDGED))
    reversals = []
    for metric in JUDGED:
        for first, second in pairs:
            cells = group.name(first), group.name(second)
            differences = {
                judge.name: _paired_difference(judge.samples, first, second, metric, level) for judge in judges
            }
            clear = [
                (judge, difference)
                for judge, difference in differences.items()
                if difference is not None and (difference.low > 0 or difference.high < 0)  # type: ignore[operator]
            ]
            for (judge, difference), (other, other_difference) in itertools.combinations(clear, 2):
                if (difference.value > 0) != (other_difference.value > 0):  # type: ignore[operator]
                    reversals.append(Reversal(metric, *cells, judge, difference, other, other_difference))
    return reversals


def _paired_difference(
    samples: Samples, first: CellResult, second: CellResult, metric: str, level: float
) -> Estimate | None:
    """The first cell less the second, paired, with a t interval; None where the pairs give none."""
    values, due = samples.paired(metric, [CellId(cell.model, cell.name, "") for cell in (first, second)])
    changes = values[0] - values[1]
    pairs = int((~np.isnan(changes)).sum())
    if pairs < 2:
        return None
    table = samples.table(changes)
    variance = variance_of_mean(table)
    if max(table.levels) == 1 or variance.total == 0:
        return None
    error = t_quantile(level, variance.freedom) * math.sqrt(variance.total)
    return Estimate(table.mean, table.mean - error, table.mean + error, pairs, int(due.sum()) - pairs)
