"""Text of somebody else's: it can be written, shown and opened, and nothing obeys it."""

from __future__ import annotations

import csv
import logging
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sweeps import KINDS, make_cell

from mindgap.core.characters import csv_field, encodable, printable, shown
from mindgap.results.files import write_summary
from mindgap.study.run_log import logging_to

ANY = st.text(st.characters(codec=None))


@given(ANY)
def test_any_text_can_be_written_and_good_text_stays(text: str) -> None:
    assert encodable(text).encode().decode() == encodable(text)
    if not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert encodable(text) == text


def test_halves_that_belong_together_are_joined() -> None:
    assert encodable("\ud83d\ude00 \ud83d") == "😀 \ufffd"


@given(ANY)
def test_what_is_shown_is_one_short_harmless_line(text: str) -> None:
    line = shown(text)
    assert len(line) <= 121 and line.encode().decode() == line
    assert not {character for character in line if unicodedata.category(character) in ("Cc", "Zl", "Zp")} - {"\t"}
    assert not set(line) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def test_escapes_are_spelled_out() -> None:
    assert printable("a\x1b[2Jb\u202ec\td\n") == r"a\x1b[2Jb\u202ec" + "\td\n"
    assert shown(10**5000).startswith("(a int too long")


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+2", "-A1", "\uff1d1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\n=1", "=HYPERLINK(1)"]
)
def test_no_spreadsheet_calculates_text(text: str) -> None:
    assert csv_field(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, None, "plain", "a=b", "", 3])
def test_what_is_no_formula_stays(value: object) -> None:
    assert csv_field(value) == value


def test_hostile_labels_are_harmless_in_the_summary_and_the_log(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, KINDS[0])
    write_summary(tmp_path, [replace(cell, label='=cmd|" /C calc"!A0', reason="\x1b[2J\ud800")])
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["label"].startswith("'=cmd")
    with logging_to(tmp_path / "run.log", Console(quiet=True)):
        logging.getLogger("mindgap").warning("it said %s", "\x1b]0;owned\x07\u202e\ud800")
    assert r"\x1b]0;owned\x07\u202e" in (tmp_path / "run.log").read_text(encoding="utf-8")
