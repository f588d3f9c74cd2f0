"""Summarises a cell's samples for figures and trackers: means by query, counts of scores, and the front of points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mindgap.analysis.comparison import CellComparison, GroupComparison
from mindgap.core.columns import facts, values_of
from mindgap.core.measurement import Declaration
from mindgap.core.records import Record


def means_by_query(records: Sequence[Record], measure: Declaration) -> dict[str, float]:
    """Mean of a measure over items and epochs, by query; queries without any value are left out."""
    by_query: dict[str, list[float]] = {}
    for query, number in zip(facts(records, "query"), values_of(records, measure.name).tolist(), strict=True):
        if not math.isnan(number):
            by_query.setdefault(query, []).append(number)
    return {query: float(np.mean(numbers)) for query, numbers in by_query.items()}


def means_by_query_and_cell(
    group: GroupComparison, measure: Declaration
) -> tuple[list[CellComparison], list[str], list[list[float | None]]] | None:
    """Cells that have the measure, the queries, and `[queries][cells]` means; None for fewer than two queries."""
    cells = [comparison for comparison in group.finished if measure.name in comparison.cell.metrics]
    queries = list(dict.fromkeys(query for comparison in cells for query in facts(comparison.cell.records, "query")))
    if not cells or len(queries) < 2:
        return None
    means = [means_by_query(comparison.cell.records, measure) for comparison in cells]
    return cells, queries, [[mean.get(query) for mean in means] for query in queries]


def score_counts(records: Sequence[Record], measure: Declaration) -> list[int]:
    """How many scores round to 1, 2 … 5, and last how many are missing."""
    scores = values_of(records, measure.name)
    levels = np.where(np.isnan(scores), 5, np.clip(np.floor(np.nan_to_num(scores) + 0.5) - 1, 0, 4)).astype(int)
    return [int(count) for count in np.bincount(levels, minlength=6)]


def histogram(records: Sequence[Record], measure: Declaration, edges: np.ndarray) -> np.ndarray | None:
    """How many values lie between two neighbours of `edges`, `[edges - 1]`; None where no sample has a value."""
    numbers = values_of(records, measure.name)
    present = numbers[~np.isnan(numbers)]
    return np.histogram(present, edges)[0] if len(present) else None


def unbeaten(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is at least as good as in both coordinates, the largest first coordinate in front."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front
