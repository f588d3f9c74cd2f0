"""Sweeps of different days are compared where they can be, and it is said why where they cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweeps import KINDS, make_cell, write_sweep

from mindgap.report.__main__ import main
from mindgap.results.files import write_cell
from mindgap.results.joined import joined
from mindgap.results.sweep import read_sweep

SMALL: dict[str, Any] = {"queries": ("be funny", "be terse"), "items": 4}


def test_cells_of_two_sweeps_stand_beside_each_other_and_what_both_have_is_there_once(tmp_path: Path) -> None:
    first = write_sweep(tmp_path / "monday", kinds=KINDS[:2], **SMALL)
    second = write_sweep(tmp_path / "friday", kinds=(KINDS[0], KINDS[3]), **SMALL)
    assert main([str(first), str(second), "--format", "html,markdown", "--margin", "0.1"]) == 0
    text = (tmp_path / "monday+friday" / "report.md").read_text(encoding="utf-8")
    assert "at no more than 10 points of accuracy" in text
    assert "tiny-control-none is the same in monday and friday, and counted once" in text
    (group,) = joined([read_sweep(first), read_sweep(second)], tmp_path / "both").groups
    assert [cell.method for cell in group.cells] == ["control", "prompt", "vector"]


def test_what_keeps_sweeps_apart_is_named(tmp_path: Path) -> None:
    first = read_sweep(write_sweep(tmp_path / "monday", kinds=KINDS[:2], **SMALL))
    folder = tmp_path / "friday"
    for kind in KINDS[:2]:
        cell = make_cell(folder, kind, **SMALL)
        write_cell(replace(cell, config={**cell.config, "task": {"name": "mmlu", "limit": 4}}))
    both = joined([first, read_sweep(folder)], tmp_path / "both")
    assert len(both.groups) == 2
    assert "monday and friday are not compared: task.limit is unset in monday and 4 in friday." in both.notes


def test_two_models_of_one_name_are_never_compared(tmp_path: Path) -> None:
    folders: list[Path] = []
    for name, weights in (("monday", "a" * 8), ("friday", "b" * 8)):
        for kind in KINDS[:2]:
            write_cell(make_cell(tmp_path / name, kind, source=f"local tiny {weights}", seed=len(folders), **SMALL))
        folders.append(tmp_path / name)
    both = joined([read_sweep(folder) for folder in folders], tmp_path / "both")
    assert len(both.groups) == 2 and any("answered by is local tiny aaaaaaaa in monday" in note for note in both.notes)


def test_the_same_sweep_twice_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path / "monday", kinds=KINDS[:2], **SMALL)
    assert main([str(folder), str(folder)]) == 2
    assert "given twice" in capsys.readouterr().err
