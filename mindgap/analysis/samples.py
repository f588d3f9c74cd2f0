"""A sweep's records as samples aligned by what was asked, with their measures: where every analysis starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindgap.measures.metrics import METRICS
from mindgap.stats.samples import KEYS, Samples, Scale, from_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from mindgap.core.records import Record


def samples_of(data: Samples | Mapping[str, Any] | Sequence[Record] | pa.Table) -> Samples:
    """Samples from what you have: records, a table of records as in samples.parquet, or columns of numbers.

    Columns: `query` and `item` must be there; `model`, `method`, `strength`, `epoch`, `judge` and `dose` may be; every
    other numeric column is a metric, NaN = missing. Raises MindgapError if a sample occurs twice or columns lack.
    """
    if isinstance(data, Samples):
        return data
    if isinstance(data, Mapping):
        return from_columns(data, scales=known_scales())
    return from_records(data) if isinstance(data, Sequence) else from_arrow(data)


def from_arrow(table: pa.Table) -> Samples:
    """Samples from an Arrow table: of records as in samples.parquet, or of columns as `from_columns` takes them."""
    names = table.column_names
    if "option_logprobs" not in names:
        return from_columns(
            {name: table.column(name).to_numpy(zero_copy_only=False) for name in names}, scales=known_scales()
        )
    texts = {"system_prompt", "prompt", "response", "analysis", "edits"}
    light = table.select([name for name in names if name not in texts])
    return from_records([SimpleNamespace(**row) for row in light.to_pylist()])


def from_records(records: Sequence[Any]) -> Samples:
    """Samples with the metrics of `mindgap.measures.metrics`, of those that apply to any record."""
    columns: dict[str, Any] = {name: [getattr(record, name) for record in records] for name in KEYS}
    columns["dose"] = np.array([np.nan if dose is None else dose for dose in columns["dose"]], dtype=float)
    applies: dict[str, np.ndarray] = {}
    scales: dict[str, Scale] = {}
    for metric in METRICS:
        due = np.array([metric.applies(record) for record in records], dtype=bool)
        if not due.any():
            continue
        values = [metric.value(record) if wanted else None for record, wanted in zip(records, due, strict=True)]
        columns[metric.name] = np.array([np.nan if value is None else value for value in values], dtype=float)
        applies[metric.name] = due
        scales[metric.name] = Scale(metric.bounds, metric.binary)
    return from_columns(columns, scales=scales, applies=applies)


def known_scales() -> dict[str, Scale]:
    """Bounds and kind of every measure, by name."""
    return {metric.name: Scale(metric.bounds, metric.binary) for metric in METRICS}
