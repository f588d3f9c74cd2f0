"""What a W&B run is made of, and what a cell looks like as a run: plain data, no W&B yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.analysis.summaries import histogram
from mindgap.core.estimate import finite
from mindgap.core.records import Record
from mindgap.results.cell import CellResult

TABLE_COLUMNS = (
    "query",
    "item",
    "subject",
    "epoch",
    "system_prompt",
    "turns",
    "prompt",
    "response",
    "thought",
    "finish_reason",
    "error",
    "gold",
    "answer",
    "unparsed",
    "correct",
    "loglik_answer",
    "loglik_correct",
    "analysis",
    "perplexity",
    "perplexity_missing",
    "dose",
    "edits",
    "key",
)
"""Fields of a `Record` that the table of samples shows, in its order; each measure and its reasons come after them."""

SCORE_BINS = np.linspace(1, 5, 17)
"""Edges of the score histograms: the same for every cell, so that cells can be laid over one another."""


@dataclass(frozen=True)
class TableContent:
    """A table of a run.

    Attributes:
        columns: Their names.
        rows: As many values each as there are columns; of one type in a column, None where there is none.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class RunContent:
    """All that goes into a run.

    Attributes:
        name: The run's.
        group: The sweep's name.
        job_type: The method; `summary` for a sweep's own run.
        tags: To find the run by.
        config: Settings, secrets masked.
        numbers: Metrics with intervals, dose, counts.
        texts: Status and reasons.
        columns: Of the table of samples.
        rows: Of the table of samples.
        histograms: By name, `[16]` counts within `SCORE_BINS`; absent where a cell has no such score.
        failed: Whether the run is marked as failed.
        tables: Others than that of samples, by name.
        figures: By name, Plotly's JSON.
        files: Copied to the run.
        notes: Shown above the run.
    """

    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    numbers: dict[str, float | int]
    texts: dict[str, str]
    columns: tuple[str, ...]
    rows: list[list[Any]]
    histograms: dict[str, np.ndarray]
    failed: bool
    tables: Mapping[str, TableContent] = field(default_factory=dict)
    figures: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    notes: str = ""


def run_content(result: CellResult, tags: Sequence[str], max_rows: int) -> RunContent:
    """The run of a cell whose secrets are already masked."""
    chosen = evenly(result.records, max_rows)
    texts: dict[str, str] = {"status": result.status}
    if result.reason is not None:
        texts["reason"] = result.reason
    if len(chosen) < len(result.records):
        texts["samples_note"] = (
            f"{len(chosen)} of {len(result.records)} samples, evenly spaced; all are in samples.parquet"
        )
    texts |= {f"{name}_note": estimate.note for name, estimate in result.metrics.items() if estimate.note}
    identity = ("name", "model", "method", "label", "strength", "judge")
    scores = [measure for measure in result.measures if measure.range == (SCORE_BINS[0], SCORE_BINS[-1])]
    return RunContent(
        name=result.name,
        group=result.sweep,
        job_type=result.method,
        tags=tuple(dict.fromkeys(tag[:64] for tag in (*tags, result.model, result.judge) if tag)),
        config={**result.config, "cell": {name: getattr(result, name) for name in identity}},
        numbers=_numbers(result),
        texts=texts,
        columns=(*TABLE_COLUMNS, *_measure_columns(result)),
        rows=[
            [*(_shown(record, name) for name in TABLE_COLUMNS), *_measure_values(record, result)] for record in chosen
        ],
        histograms={
            f"{measure.name}_scores": counts
            for measure in scores
            if (counts := histogram(result.records, measure, SCORE_BINS)) is not None
        },
        failed=result.status == "failed",
    )


def _measure_columns(result: CellResult) -> tuple[str, ...]:
    return tuple(name for measure in result.measures for name in (measure.name, f"{measure.name}_missing"))


def _measure_values(record: Record, result: CellResult) -> Iterator[float | str | None]:
    """Each measure's value, and why there is none; both None where it does not apply."""
    for measure in result.measures:
        value = record.measures.get(measure.name)
        yield from (None, None) if value is None else (value.value, value.missing)


def evenly(records: Sequence[Record], most: int) -> list[Record]:
    """`most` of `records`, evenly spaced and in order: every query stays represented, not only the first ones."""
    if len(records) <= most:
        return list(records)
    return [records[number * len(records) // most] for number in range(most)]


def _numbers(result: CellResult) -> dict[str, float | int]:
    """Metric `x` as `x`, `x_low`, `x_high`, `x_n` and `x_missing`; a value that cannot be had is left out."""
    numbers: dict[str, float | None] = {"dose": result.dose, "seconds": result.seconds, "judge_usd": result.judge_usd}
    for name, estimate in result.metrics.items():
        numbers |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        numbers |= {f"{name}_n": estimate.n, f"{name}_missing": estimate.missing}
    numbers |= {f"counts/{name}": count for name, count in result.counts.items()}
    return {name: value for name, value in numbers.items() if value is not None and finite(value) is not None}


def _shown(record: Record, name: str) -> Any:
    value = getattr(record, name)
    if isinstance(value, tuple):
        return "; ".join(value)
    return finite(value) if isinstance(value, float) else value
