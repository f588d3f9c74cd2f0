"""A spreadsheet runs nothing of what a model or a recording said, and reads every number."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mindgap.storage.table import write_csv


@pytest.mark.parametrize(
    "text",
    ["=cmd|' /C calc'!A0", "+1+1?", "-vec", "@SUM(1)", "\t=1", " =1+1", "\uff1d1+1", '=HYPERLINK("http://x","y")'],
)
def test_what_would_be_a_formula_is_a_text(text: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["response", text], [{"response": text, text: text}])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header[1] == row[0] == row[1] == "'" + text


@pytest.mark.parametrize("value", [-1.5, "-1.5", "+2", "-1e-05", "plain", "a=b", "", "mean - of two"])
def test_numbers_and_other_texts_stay_as_they_are(value: float | str, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["x"], [{"x": value}, {"x": "y"}])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["x"] == str(value)
