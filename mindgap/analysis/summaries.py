"""Summarises a cell's samples for figures and trackers: means by query, counts of scores, and the front of points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mindgap.analysis.comparison import CellComparison, GroupComparison
from mindgap.core.measurement import Declaration
from mindgap.core.records import Record
from mindgap.measures.estimates import column


def means_by_query(records: Sequence[Record], measure: Declaration) -> dict[str, float]:
    """Mean of a measure over items and epochs, by query; queries without any value are left out."""
    values: dict[str, list[float]] = {}
    for record in records:
        if not math.isnan(value := column(record, measure.name)):
            values.setdefault(record.query, []).append(value)
    return {query: float(np.mean(query_values)) for query, query_values in values.items()}


def means_by_query_and_cell(
    group: GroupComparison, measure: Declaration
) -> tuple[list[CellComparison], list[str], list[list[float | None]]] | None:
    """Cells that have the measure, the queries, and `[queries][cells]` means; None for fewer than two queries."""
    cells = [comparison for comparison in group.finished if measure.name in comparison.cell.metrics]
    queries = list(dict.fromkeys(record.query for comparison in cells for record in comparison.cell.records))
    if not cells or len(queries) < 2:
        return None
    means = [means_by_query(comparison.cell.records, measure) for comparison in cells]
    return cells, queries, [[mean.get(query) for mean in means] for query in queries]


def score_counts(records: Sequence[Record], measure: Declaration) -> list[int]:
    """How many scores round to 1, 2 … 5, and last how many are missing."""
    counts = [0] * 6
    for record in records:
        score = column(record, measure.name)
        counts[5 if math.isnan(score) else min(4, max(0, int(score + 0.5) - 1))] += 1
    return counts


def histogram(records: Sequence[Record], measure: Declaration, edges: np.ndarray) -> np.ndarray | None:
    """How many values lie between two neighbours of `edges`, `[edges - 1]`; None where no sample has a value."""
    values = np.array([column(record, measure.name) for record in records])
    present = values[~np.isnan(values)]
    return np.histogram(present, edges)[0] if len(present) else None


def unbeaten(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is at least as good as in both coordinates, the largest first coordinate in front."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front
