"""Finds the samples on which judges differ, so that a person can look at the worst of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mindgap.core.records import Record
from mindgap.results.judgements import Judgements
from mindgap.results.sweep import Group
from mindgap.stats.samples import JUDGED


@dataclass(frozen=True)
class Disagreement:
    """A sample that judges scored differently.

    Attributes:
        cell: What people call the sample's cell.
        record: The sample.
        metric: What was scored.
        scores: By judge, of those that gave a score.
        apart: The highest score less the lowest, in points.
    """

    cell: str
    record: Record
    metric: str
    scores: Mapping[str, float]
    apart: float


def disagreements(groups: Sequence[Group], judgements: Judgements) -> list[Disagreement]:
    """Every sample and measure to which two judges or more gave different scores, the furthest apart in front."""
    unequal = [disagreement for group in groups for disagreement in _in_group(group, judgements)]
    return sorted(unequal, key=lambda disagreement: (-disagreement.apart, disagreement.record.key, disagreement.metric))


def _in_group(group: Group, judgements: Judgements) -> list[Disagreement]:
    unequal = []
    for cell in group.finished:
        by_judge = judgements[cell.name]
        if len(by_judge) < 2:
            continue
        for record in cell.records:
            for position, metric in enumerate(JUDGED):
                scores = {
                    judge: value
                    for judge, scores_by_key in by_judge.items()
                    if record.key in scores_by_key and (value := scores_by_key[record.key][position].value) is not None
                }
                if len(scores) > 1 and (apart := max(scores.values()) - min(scores.values())) > 0:
                    unequal.append(Disagreement(group.name(cell), record, metric, scores, apart))
    return unequal
