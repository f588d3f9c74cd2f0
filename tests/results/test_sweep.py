"""Which cells are compared with which, and what is said of a folder that is no sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweeps import KINDS, Kind, make_cell, write_sweep

from mindgap.results.sweep import NoSweepError, grouped, read_sweep, strength_name

SMALL: dict[str, Any] = {"queries": ("be funny", "be concise"), "items": 3}


def test_control_is_the_reference_whatever_ran_first(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, kind, **SMALL) for kind in KINDS]
    for order in (cells, cells[::-1]):
        (group,) = grouped(order)
        assert group.reference.method == "control"
        assert [group.name(cell) for cell in group.cells] == [
            "Control",
            "Prompting",
            *(f"{label} (dose {dose})" for label in ("Combined", "Vector") for dose in (0.1, 0.2, 0.4)),
        ]


def test_a_failed_control_is_no_reference(tmp_path: Path) -> None:
    control = make_cell(tmp_path, KINDS[0], status="failed", reason="no memory", records=(), metrics={}, **SMALL)
    (group,) = grouped([control, make_cell(tmp_path, KINDS[1], **SMALL)])
    assert group.reference.method == "prompt"
    assert control in group.cells


def test_scores_of_two_judges_never_meet(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, kind, **SMALL, judge=judge) for judge in ("proxy", "gpt") for kind in KINDS[:2]]
    groups = grouped(cells)
    assert [len(group.cells) for group in groups] == [2, 2]
    assert {group.judge for group in groups} == {"proxy", "gpt"}
    assert all(group.judge in group.title for group in groups)


def test_cells_that_differ_in_more_than_method_and_strength_are_kept_apart_and_told_apart(tmp_path: Path) -> None:
    warm, cold = ({**KINDS[0].config, "decoding": {"temperature": t, "top_p": 0.9}} for t in (0.6, 0))
    groups = grouped([make_cell(tmp_path, kind, **SMALL, config=c) for c in (warm, cold) for kind in KINDS[:2]])
    assert len(groups) == 2
    assert {group.title.rpartition(" · ")[2] for group in groups} == {
        "decoding.temperature=0.6",
        "decoding.temperature=0",
    }


def test_an_adapter_is_compared_with_what_is_done_to_its_base_and_told_in_the_name(tmp_path: Path) -> None:
    def on(kind: Kind, adapter: str | None) -> Any:
        model = {"name": "tiny", "adapter": adapter}
        return make_cell(
            tmp_path, kind, **SMALL, config={**kind.config, "model": model}, name=f"{kind.method}{adapter}"
        )

    tuned = [on(KINDS[0], "/some/folder/glad-lora"), on(KINDS[1], "/some/folder/glad-lora")]
    base = [on(kind, None) for kind in KINDS[:3]]
    (group,) = grouped([*tuned, *base])
    assert group.reference is base[0]
    names = [group.name(cell) for cell in group.cells]
    assert names[0] == "Control" and "Control, adapter glad-lora" in names and "Prompting, adapter glad-lora" in names
    assert group.called("control") is base[0]
    assert group.called("Control, adapter glad-lora") is tuned[0]


@pytest.mark.parametrize(
    ("label", "said"), [("damage0.5", "damage 0.5"), ("dose0.3", "dose 0.3"), ("x2", "×2"), ("native", "native")]
)
def test_a_strength_is_told_in_words(label: str, said: str, tmp_path: Path) -> None:
    assert strength_name(make_cell(tmp_path, KINDS[2], **SMALL, strength=label)) == said


def test_names_are_unique_where_label_and_strength_are_not(tmp_path: Path) -> None:
    twins = [make_cell(tmp_path, KINDS[2], **SMALL, name=f"tiny-vector-{number}") for number in (1, 2)]
    (group,) = grouped(twins)
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
