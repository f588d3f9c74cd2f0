"""Samples that are read from their files when they are asked for are those that were written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow.parquet as pq
import pytest
from sweeps import MEASURES
from tracked_cells import bare, cell, full

from mindgap.core.columns import applies, at, facts, values_of
from mindgap.core.errors import MindgapError
from mindgap.core.records import Record
from mindgap.results import saved
from mindgap.results.files import SAMPLES, read_cell, write_cell
from mindgap.results.saved import SavedRecords, joined, shifted

MIXED = (
    full(0),
    bare(key="b", query="be brief"),
    full(1, epoch=1, option_logprobs=(-1.5, -0.25)),
    full(2, answer=None),
)


def written(folder: Path, records: Sequence[Record]) -> Sequence[Record]:
    """`records`, written to a cell and read when asked for."""
    write_cell(cell(folder, records=tuple(records)))
    found = read_cell(folder, samples="when asked").records
    assert isinstance(found, SavedRecords)
    return found


def same(found: Sequence[Record], expected: Sequence[Record]) -> None:
    """Row by row, and column by column."""
    assert list(found) == list(expected) and len(found) == len(expected)
    for field in fields(Record):
        if field.name != "measures":
            assert facts(found, field.name) == [getattr(record, field.name) for record in expected], field.name
    for measure in MEASURES:
        np.testing.assert_array_equal(values_of(found, measure.name), values_of(tuple(expected), measure.name))
        np.testing.assert_array_equal(applies(found, measure.name), applies(tuple(expected), measure.name))


def test_rows_and_columns_are_those_that_were_written(tmp_path: Path) -> None:
    same(written(tmp_path, MIXED), MIXED)
    same(written(tmp_path, ()), ())


def test_columns_do_not_read_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written(tmp_path, MIXED)
    monkeypatch.setattr(saved, "read_samples", lambda table: pytest.fail("rows were read"))
    assert facts(found, "query") == ["be funny", "be brief", "be funny", "be funny"]
    assert math.isnan(values_of(found, "behaviour")[1])
    assert len(found) == 4


def test_several_cells_are_one_after_another_with_their_epochs_counted_on(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", MIXED), written(tmp_path / "b", MIXED[:2])
    later = [replace(record, epoch=record.epoch + 3) for record in MIXED[:2]]
    both = joined([first, shifted(second, 3)])
    assert isinstance(both, SavedRecords)
    same(both, [*MIXED, *later])
    assert at(both, [5, 0, 4]) == [later[1], MIXED[0], later[0]]
    assert (both[4], both[-1], both[3:5]) == (later[0], later[1], (MIXED[3], later[0]))
    with pytest.raises(IndexError):
        both[6]
    assert both[:0] == () and at(both, []) == []
    assert joined([first, tuple(MIXED)]) == (*MIXED, *MIXED)
    assert len(joined([])) == 0


def test_no_more_rows_stay_in_memory_than_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "KEPT", 9)
    tables: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
    monkeypatch.setattr(saved, "_tables", tables)
    cells = [written(tmp_path / name, MIXED) for name in "abc"]
    for found in cells:
        same(found, MIXED)
    assert [table.num_rows for table in tables.values()] == [4, 4]
    del cells[0], found
    assert [table.num_rows for table in tables.values()] == [4]


def test_what_was_written_anew_is_not_mixed_with_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "KEPT", 0)
    found = written(tmp_path, MIXED)
    assert facts(found, "epoch") == [0, 0, 1, 0]
    write_cell(cell(tmp_path, records=(full(7),)))
    with pytest.raises(MindgapError, match="written anew since this sweep was read"):
        facts(found, "query")
    (tmp_path / SAMPLES).unlink()
    with pytest.raises(MindgapError, match="cannot be read"):
        list(found)


def test_a_file_of_before_a_column_or_a_measure_was_there(tmp_path: Path) -> None:
    written(tmp_path, MIXED)
    table = pq.read_table(tmp_path / SAMPLES)
    pq.write_table(table.drop_columns(["thought", "turns", "edits", "words", "words_missing"]), tmp_path / SAMPLES)
    found = read_cell(tmp_path, samples="when asked").records
    assert (facts(found, "thought"), facts(found, "turns"), facts(found, "edits")) == ([None] * 4, [""] * 4, [()] * 4)
    assert np.isnan(values_of(found, "words")).all()
    assert not applies(found, "words").any()
