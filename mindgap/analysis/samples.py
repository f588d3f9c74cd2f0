"""Turns a sweep's records into samples that line up across cells by what was asked: where every analysis starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindgap.core.columns import applies, facts, values_of
from mindgap.core.measurement import Declaration
from mindgap.measures.base import declared
from mindgap.measures.standard import STANDARD
from mindgap.results.samples import read_samples
from mindgap.stats.samples import KEYS, Samples, Scale, from_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from mindgap.core.records import Record
    from mindgap.results.cell import CellResult


def samples_of(
    data: Samples | Mapping[str, Any] | Sequence[Record] | pa.Table,
    measures: Sequence[Declaration] | None = None,
    *,
    population: bool = False,
) -> Samples:
    """Samples from what you have: records, a table of records as in samples.parquet, or columns of numbers.

    Args:
        data: Columns must have `query` and `item`; `model`, `method`, `strength`, `epoch`, `judge` and `dose` may be
            there; every other numeric column is a measure's values, NaN = missing.
        measures: What was measured; None = as the table says, or the standard measures.
        population: Whether results are for other queries and items even where these are too few for that; `Samples` say
            so themselves.

    Raises:
        MindgapError: A sample occurs twice, or a column is not there.
    """
    if isinstance(data, Samples):
        return data
    declarations = tuple(declared(measure) for measure in STANDARD) if measures is None else tuple(measures)
    if isinstance(data, Mapping):
        return from_columns(data, scales=_scales(declarations), population=population)
    if isinstance(data, Sequence):
        return from_records(data, declarations, population=population)
    if "option_logprobs" in data.column_names:
        records, saved = read_samples(data)
        return from_records(records, saved, population=population)
    columns = {name: data.column(name).to_numpy(zero_copy_only=False) for name in data.column_names}
    return from_columns(columns, scales=_scales(declarations), population=population)


def from_records(records: Sequence[Record], measures: Sequence[Declaration], *, population: bool = False) -> Samples:
    """Samples with those of `measures` that apply to any record."""
    return _from_parts([(records, {})], measures, population=population)


def from_cells(cells: Sequence[CellResult], measures: Sequence[Declaration], *, population: bool = False) -> Samples:
    """Samples of cells with those of `measures` that apply to any of them.

    A cell goes by its model and its folder's name: two may share method and strength and still differ in a setting.
    """
    named = [(cell.records, {"model": cell.model, "method": cell.name, "strength": ""}) for cell in cells]
    return _from_parts(named, measures, population=population)


def _from_parts(
    parts: Sequence[tuple[Sequence[Record], Mapping[str, str]]], measures: Sequence[Declaration], *, population: bool
) -> Samples:
    """Samples of all parts, each with what its records are to be called."""

    def whole(name: str) -> list[Any]:
        return [
            value
            for records, called in parts
            for value in ([called[name]] * len(records) if name in called else facts(records, name))
        ]

    columns: dict[str, Any] = {name: whole(name) for name in KEYS}
    columns["dose"] = np.array([np.nan if dose is None else dose for dose in columns["dose"]], dtype=float)
    due = {
        measure.name: np.concatenate([applies(records, measure.name) for records, _ in parts]) for measure in measures
    }
    due = {name: applying for name, applying in due.items() if applying.any()}
    for name in due:
        columns[name] = np.concatenate([values_of(records, name) for records, _ in parts])
    return from_columns(columns, scales=_scales(measures), applies=due, population=population)


def _scales(measures: Sequence[Declaration]) -> dict[str, Scale]:
    return {measure.name: Scale(measure.range, measure.binary) for measure in measures}
