"""What a sweep's comparison looks like as a W&B run: plain data, no W&B yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from mindgap.analysis.comparison import GroupComparison
from mindgap.analysis.schema import comparison_json
from mindgap.analysis.whole import SweepComparison
from mindgap.presentation.figures import Figure
from mindgap.presentation.sections import parts
from mindgap.results.files import SUMMARY
from mindgap.tracking.wandb_run import RunContent, TableContent

JOB_TYPE = "summary"
"""Tells a sweep's own run from those of its cells, which are of the same group."""
COMPARISON, CELLS, PARETO = "comparison", "cells", "pareto"
"""Names of the tables: differences from the reference, means, and who is on the Pareto front."""
FIGURES = "figures/"
"""Begins the names of figures."""


def sweep_content(comparison: SweepComparison, tags: Sequence[str]) -> RunContent:
    """The run of a sweep: the numbers of `comparison.json` as tables, the report's figures, and the headline.

    All of it is from the sweep's files, which hold no secrets.
    """
    sweep = comparison.sweep
    groups = json.loads(comparison_json(sweep, comparison.groups))["groups"]
    headline = "\n\n".join(
        f"{group['title']}: {group['headline']}" if len(groups) > 1 else group["headline"] for group in groups
    )
    cells = sweep.cells
    finished = [cell for cell in cells if cell.status == "finished"]
    models, methods = (list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("model", "method"))
    return RunContent(
        name=f"{sweep.name}: summary",
        group=cells[0].sweep,
        job_type=JOB_TYPE,
        tags=tuple(dict.fromkeys(tag[:64] for tag in (*tags, JOB_TYPE, *models, *sweep.judges) if tag)),
        config={
            "sweep": sweep.name,
            "models": models,
            "methods": methods,
            "judges": list(sweep.judges),
            "groups": [
                {
                    "title": group["title"],
                    "reference": group["reference"],
                    "cells": [cell["cell"] for cell in group["cells"]],
                    **group["settings"],
                }
                for group in groups
            ],
        },
        numbers={
            "counts/cells": len(cells),
            "counts/failed": len(cells) - len(finished),
            "counts/unfinished": len(sweep.unfinished),
            "counts/samples": sum(len(cell.records) for cell in finished),
        },
        texts={"headline": headline},
        columns=(),
        rows=[],
        histograms={},
        failed=not finished,
        tables={
            name: TableContent(columns, rows)
            for name, columns, rows in (
                (COMPARISON, COMPARISON_COLUMNS, tuple(_comparison(groups))),
                (CELLS, cells_columns(groups), tuple(_cells(groups))),
                (PARETO, PARETO_COLUMNS, tuple(_pareto(groups))),
            )
            if rows
        },
        figures={name: figure.spec for name, _, figure in sweep_figures(comparison.groups)},
        files=tuple(path for name in ("comparison.json", SUMMARY) if (path := sweep.folder / name).is_file()),
        notes=headline,
    )


COMPARISON_COLUMNS = (
    *("group", "reference", "cell", "method", "strength", "dose", "metric"),
    *("value", "low", "high", "p", "p_holm", "p_bh", "clear", "effect", "n", "missing", "cell_mean", "reference_mean"),
)
"""Of the table of differences; meanings as in docs/comparison-json.md."""
PARETO_COLUMNS = ("group", "cell", "method", "strength", "probability", "on_front", "best_within_budget")
"""probability: share of resamples with the cell on the front. best_within_budget: share that choose it as `best`."""


def cells_columns(groups: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Of the table of means: a metric `x` has `x`, `x_low` and `x_high`."""
    return (
        *("group", "cell", "name", "model", "method", "strength", "dose", "status", "samples"),
        *(f"{name}{end}" for name in _measured(groups) for end in ("", "_low", "_high")),
        *("harmonic", "harmonic_low", "harmonic_high", "front_probability"),
    )


def _comparison(groups: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for group, cell in _of(groups):
        for metric, found in cell["differences"].items():
            where = (group["title"], group["reference"], cell["name"], cell["method"], cell["strength"], cell["dose"])
            yield (*where, metric, *(found[name] for name in COMPARISON_COLUMNS[7:]))


def _cells(groups: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    metrics = _measured(groups)
    for group, cell in _of(groups):
        estimates = [*(cell["metrics"].get(name) for name in metrics), cell["harmonic"]]
        ends = [found and found[end] for found in estimates for end in ("value", "low", "high")]
        about = tuple(cell[name] for name in ("cell", "name", "model", "method", "strength", "dose", "status"))
        front = cell["front"] and cell["front"]["probability"]
        yield (group["title"], *about, cell["counts"].get("samples"), *ends, front)


def _pareto(groups: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for group, cell in _of(groups):
        if front := cell["front"]:
            chance = (group["best"] or {}).get("chances", {}).get(cell["cell"])
            about = (group["title"], cell["name"], cell["method"], cell["strength"])
            yield (*about, front["probability"], front["on_front"], chance)


def _of(groups: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    return ((group, cell) for group in groups for cell in group["cells"])


def _measured(groups: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the metrics that any cell has, in their usual order."""
    names = dict.fromkeys(measure["name"] for group in groups for measure in group["measures"])
    return [name for name in names if any(name in cell["metrics"] for _, cell in _of(groups))]


def sweep_figures(comparisons: Sequence[GroupComparison]) -> Iterator[tuple[str, str, Figure]]:
    """The report's figures, each with its name in the run and a title that says which part it is of."""
    for number, group in enumerate(comparisons, 1):
        for part in parts(group, prefix=f"{number}-" if len(comparisons) > 1 else ""):
            for figure in part.figures:
                yield FIGURES + figure.key, f"{part.title}: {figure.title}", figure
