"""Which cells are compared with which, and what is said of a folder that is no sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweeps import KINDS, Kind, make_cell, write_sweep

from mindgap.results.sweep import NoSweepError, groups, read_sweep

SMALL: dict[str, Any] = {"queries": ("be funny", "be concise"), "items": 3}


def test_control_is_the_reference_whatever_ran_first(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, kind, **SMALL) for kind in KINDS]
    for order in (cells, cells[::-1]):
        (group,) = groups(order)
        assert group.reference.method == "control"
        assert [group.name(cell) for cell in group.cells] == [
            "Control",
            "Prompting",
            *(f"{label} (dose {dose})" for label in ("Combined", "Vector") for dose in (0.1, 0.2, 0.4)),
        ]


def test_a_failed_control_is_no_reference(tmp_path: Path) -> None:
    control = make_cell(tmp_path, KINDS[0], status="failed", reason="no memory", records=(), metrics={}, **SMALL)
    (group,) = groups([control, make_cell(tmp_path, KINDS[1], **SMALL)])
    assert group.reference.method == "prompt"
    assert control in group.cells


def test_scores_of_two_judges_never_meet(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, kind, **SMALL, judge=judge) for judge in ("proxy", "gpt") for kind in KINDS[:2]]
    found = groups(cells)
    assert [len(group.cells) for group in found] == [2, 2]
    assert {group.judge for group in found} == {"proxy", "gpt"}
    assert all(group.judge in group.title for group in found)


def test_cells_that_differ_in_more_than_method_and_strength_are_kept_apart_and_told_apart(tmp_path: Path) -> None:
    warm, cold = ({**KINDS[0].config, "decoding": {"temperature": t, "top_p": 0.9}} for t in (0.6, 0))
    found = groups([make_cell(tmp_path, kind, **SMALL, config=c) for c in (warm, cold) for kind in KINDS[:2]])
    assert len(found) == 2
    assert {group.title.rpartition(" · ")[2] for group in found} == {
        "decoding.temperature=0.6",
        "decoding.temperature=0",
    }


def test_names_are_unique_where_label_and_strength_are_not(tmp_path: Path) -> None:
    twins = [make_cell(tmp_path, KINDS[2], **SMALL, name=f"tiny-vector-{number}") for number in (1, 2)]
    (group,) = groups(twins)
    assert len({group.name(cell) for cell in group.cells}) == 2


def test_a_folder_that_is_no_sweep_is_named_for_what_it_is(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "study", kinds=KINDS[:1], **SMALL)
    with pytest.raises(NoSweepError, match="no such folder") as missing:
        read_sweep(tmp_path / "studdy")
    assert str(sweep) in str(missing.value)
    with pytest.raises(NoSweepError, match="is one cell") as cell:
        read_sweep(sweep / "tiny-control-none")
    assert str(sweep) in str(cell.value)
    with pytest.raises(NoSweepError, match="no finished cell") as outputs:
        read_sweep(tmp_path)
    assert str(sweep) in str(outputs.value)


def test_cells_that_have_no_result_yet_are_listed(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", kinds=(Kind("control", "Control"),), **SMALL)
    (folder / "tiny-prompt-none").mkdir()
    (folder / "tiny-prompt-none" / "run.log").write_text("started\n", encoding="utf-8")
    assert read_sweep(folder).unfinished == ("tiny-prompt-none",)
