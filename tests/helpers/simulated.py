"""Samples with known truth, for the tests of the statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mindgap.stats.samples import CellId, Samples, Scale, from_columns

CONTROL = CellId("tiny", "control", "none")


def crossed(generator: np.random.Generator, queries: int, items: int, sds: tuple[float, float, float]) -> np.ndarray:
    """Mean 0 plus effects of queries and items and a rest, with these standard deviations: `[queries, items]`."""
    of_queries, of_items, rest = sds
    return (
        generator.normal(0, of_queries, (queries, 1))
        + generator.normal(0, of_items, (1, items))
        + generator.normal(0, rest, (queries, items))
    )


SCALES = {
    "behaviour": Scale((1, 5)),
    "coherence": Scale((1, 5)),
    "accuracy": Scale((0, 1), binary=True),
    "answered": Scale((0, 1), binary=True),
    "loglik_accuracy": Scale((0, 1), binary=True),
}


def labels(queries: int, items: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(queries), items), np.tile(np.arange(items), queries)


def cells(
    values: dict[str, dict[str, np.ndarray]],
    *,
    doses: dict[str, float] | None = None,
    judge: Callable[[str], str] = lambda method: "proxy",
    population: bool = False,
) -> Samples:
    """Samples of cells named by method, from `[queries, items]` arrays of each metric; all complete, one epoch."""
    columns: dict[str, list[Any]] = {}
    for method, metrics in values.items():
        queries, items = next(iter(metrics.values())).shape
        query, item = labels(queries, items)
        size = queries * items
        row: dict[str, list[Any]] = {  # type: ignore[assignment]
            "model": ["tiny"] * size,
            "method": [method] * size,
            "strength": ["none"] * size,
            "query": [f"q{number}" for number in query],
            "item": [f"i{number}" for number in item],
            "epoch": [0] * size,
            "judge": [judge(method)] * size,
            "dose": [np.nan if doses is None else doses.get(method, np.nan)] * size,
        } | {name: metric.ravel().tolist() for name, metric in metrics.items()}
        for name, column in row.items():
            columns.setdefault(name, []).extend(column)
    arrays = {name: np.array(column) for name, column in columns.items()}
    return from_columns(arrays, scales=SCALES, population=population)


def cell(method: str) -> CellId:
    return CellId("tiny", method, "none")
