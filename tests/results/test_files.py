"""The files of a cell give back what went in, are whole or absent, and hold no secrets."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sweeps import MEASURES
from tracked_cells import bare, cell, full

from mindgap.core.estimate import Estimate
from mindgap.core.records import Record
from mindgap.results.files import METRICS_FILE, SAMPLES, SUMMARY, read_cell, write_cell, write_summary
from mindgap.results.samples import COLUMNS


def strict_json(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_cell_comes_back_as_it_was_written(tmp_path: Path) -> None:
    result = cell(tmp_path / "sweep" / "a")
    write_cell(result)
    assert read_cell(result.folder) == result


def test_a_failed_cell_comes_back_with_its_reason(tmp_path: Path) -> None:
    failed = cell(tmp_path / "a", status="failed", reason="OSError: no room", records=(), metrics={}, counts={})
    write_cell(failed)
    assert read_cell(failed.folder) == failed


def test_every_field_of_a_record_is_a_described_column() -> None:
    assert list(COLUMNS) == [field.name for field in fields(Record) if field.name != "measures"]
    assert all(meaning for _, meaning in COLUMNS.values())


@pytest.mark.parametrize("records", [(), (bare(),), (full(),), (full(), bare())], ids=["none", "null", "full", "both"])
def test_column_types_do_not_depend_on_what_is_missing(tmp_path: Path, records: tuple[Record, ...]) -> None:
    write_cell(cell(tmp_path, records=records))
    schema = pq.read_schema(tmp_path / SAMPLES)
    types = {field.name: str(field.type).replace("element: ", "") for field in schema}
    assert {name: types.pop(name) for name in COLUMNS} == {name: kind for name, (kind, _) in COLUMNS.items()}
    measured = [measure.name for measure in MEASURES if measure.name not in COLUMNS]
    assert types == dict.fromkeys(measured, "double") | {f"{name}_missing": "string" for name in measured}
    assert schema.field("dose").metadata[b"description"].decode() == COLUMNS["dose"][1]


def test_nan_is_a_value_in_samples_and_null_in_json(tmp_path: Path) -> None:
    metrics = {"nll": Estimate(math.nan, -math.inf, math.inf, n=1, note="one sample")}
    write_cell(cell(tmp_path, records=(full(perplexity=math.nan), bare()), metrics=metrics, dose=math.nan))
    said = strict_json(tmp_path / METRICS_FILE)
    assert said["metrics"]["nll"] == {
        "value": None,
        "low": None,
        "high": None,
        "n": 1,
        "missing": 0,
        "note": "one sample",
    }
    assert said["dose"] is None
    back = read_cell(tmp_path).records
    assert back[0].perplexity is not None
    assert math.isnan(back[0].perplexity)
    assert back[1].perplexity is None


def test_a_cell_whose_writing_fails_is_not_taken_for_a_complete_one(tmp_path: Path) -> None:
    write_cell(cell(tmp_path))
    (tmp_path / SAMPLES).unlink()
    (tmp_path / SAMPLES).mkdir()  # nothing can be renamed to it
    with pytest.raises(IsADirectoryError):
        write_cell(cell(tmp_path, seconds=2.0))
    with pytest.raises(FileNotFoundError):
        read_cell(tmp_path)
    assert not list(tmp_path.glob(".*.tmp"))


def test_writing_again_replaces_everything(tmp_path: Path) -> None:
    write_cell(cell(tmp_path, samples=9))
    again = cell(tmp_path, samples=2)
    write_cell(again)
    assert read_cell(tmp_path) == again


def test_secrets_reach_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse")
    leaky = cell(
        tmp_path / "a",
        config={"judge": {"api_key": "staple-battery", "url": "https://me:hunter2@host"}},
        reason="the key correct-horse was refused",
        records=(bare(error="401 for correct-horse"), full(behaviour=None, behaviour_missing="correct-horse?")),
        metrics={"behaviour": Estimate(None, None, None, n=0, note="correct-horse")},
    )
    write_cell(leaky)
    write_summary(tmp_path, [leaky])
    records = read_cell(leaky.folder).records
    assert records[0].error == "401 for ***"
    assert records[1].behaviour_missing == "***?"
    for path in tmp_path.rglob("*.*"):
        content = path.read_bytes() if path.is_file() else b""
        for secret in (b"correct-horse", b"staple-battery", b"hunter2"):
            assert secret not in content, path.name


def test_the_summary_has_one_row_a_cell_with_intervals_and_reasons(tmp_path: Path) -> None:
    first = cell(tmp_path / "a")
    failed = cell(tmp_path / "b", metrics={}, counts={}, records=())
    second = replace(failed, status="failed", reason='no "room", sorry')
    write_summary(tmp_path, [first, second])
    with (tmp_path / SUMMARY).open(encoding="utf-8", newline="") as file:
        a, b = csv.DictReader(file)
    assert [float(a[name]) for name in ("behaviour", "behaviour_low", "behaviour_high")] == [3.0, 2.5, 3.5]
    assert (a["behaviour_n"], a["behaviour_missing"], a["count_errors"], a["dose"]) == ("5", "1", "1", "0.3")
    assert (a["accuracy"], a["accuracy_n"], a["accuracy_missing"]) == ("", "0", "6")
    assert (b["name"], b["status"], b["reason"], b["behaviour"]) == ("b", "failed", 'no "room", sorry', "")
