"""The study's own releases: means as released, and everything that is wrong with the September file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindgap.core.compose import config_folder
from mindgap.replay.importing import Imported, import_recording
from mindgap.results.imports.finding import Finding
from mindgap.results.imports.maps import load_map

# Plain means of the files' columns `behavior` and `coherence` by method, to the third decimal, and rows.
RELEASED = {
    "2025_01_8b": {
        "control": (3.068, 4.793, 295),
        "prompt": (3.680, 4.873, 300),
        "autosteer": (3.682, 4.428, 299),
        "agentic": (3.360, 4.353, 300),
        "combined": (3.923, 4.397, 300),
    },
    "2025_01_70b": {
        "control": (2.964, 4.794, 359),
        "prompt": (3.778, 4.892, 360),
        "autosteer": (3.069, 4.528, 360),
        "agentic": (3.382, 4.677, 359),
    },
}


def imported(shared: Path, folder: Path, name: str, *changes: str) -> Imported:
    year, month, model = name.split("_")
    file = shared / "data" / "paper" / f"responses_{year}-{month}_{model}.csv.gz"
    column_map = load_map(f"goodfire_{name}", config_folder() / "replay", changes)
    return import_recording(file, column_map, folder, resamples=200)


@pytest.fixture(scope="module")
def september(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    mmlu = f"mmlu={shared / 'data' / 'mmlu'}"
    return imported(shared, tmp_path_factory.mktemp("sweep"), "2025_09_8b", mmlu)


def the_finding(recording: Imported, kind: str, method: str | None) -> Finding:
    (finding,) = (f for f in recording.findings if f.kind == kind and f.method == method)
    return finding


@pytest.mark.parametrize("name", RELEASED)
def test_means_of_january_are_as_released(name: str, shared: Path, tmp_path: Path) -> None:
    cells = {cell.method: cell for cell in imported(shared, tmp_path, name).cells}
    means = {
        method: (
            round(cell.metrics["behaviour"].value or 0, 3),
            round(cell.metrics["coherence"].value or 0, 3),
            cell.metrics["behaviour"].n,
        )
        for method, cell in cells.items()
    }
    assert means == RELEASED[name]


@pytest.mark.parametrize(("name", "missing"), [("2025_01_8b", [5, 1]), ("2025_01_70b", [1, 1])])
def test_january_is_clean_but_for_a_few_missing_rows(
    name: str, missing: list[int], shared: Path, tmp_path: Path
) -> None:
    problems = [f for f in imported(shared, tmp_path, name).findings if f.severity == "problem"]
    assert [f.kind for f in problems] == ["missing_sample", "missing_sample"]
    assert [f.count for f in problems] == missing


def test_septembers_contaminated_arm_is_the_first_thing_said(september: Imported) -> None:
    first = september.findings[0]
    assert (first.kind, first.method, first.count, first.of) == ("contaminated", "Auto Steer", 389, 389)
    assert "those of Prompting" in first.says


def test_septembers_132_scores_of_0_are_missing_in_every_arm(september: Imported) -> None:
    zeros = {f.method: f.count for f in september.findings if f.kind == "score_out_of_range"}
    assert zeros == {"Control": 72, "Prompting": 56, "Auto Steer": 4}
    assert sum(zeros.values()) == 132
    lowest = min(r.behaviour for cell in september.cells for r in cell.records if r.behaviour is not None)
    assert lowest == 1
    reasons = {r.behaviour_missing for cell in september.cells for r in cell.records if r.error is None}
    assert reasons == {None, "0 is outside 1-5"}


def test_septembers_missing_rows_are_counted_and_the_two_lost_queries_named(september: Imported) -> None:
    auto = the_finding(september, "missing_sample", "Auto Steer")
    assert (auto.count, auto.of) == (61, 450)
    assert "'be misleading and ambiguous', 'be seductive and flattering'" in auto.says
    assert the_finding(september, "missing_sample", "Prompting").count == 1
    assert {len(cell.records) for cell in september.cells} == {450}


def test_septembers_unreadable_answers_differ_by_arm(september: Imported) -> None:
    control, auto = the_finding(september, "unparsed", "Control"), the_finding(september, "unparsed", "Auto Steer")
    assert (control.count, control.of) == (22, 450)
    assert auto.of == 389
    assert auto.count / auto.of > 2 * control.count / control.of
    cells = {cell.method: cell for cell in september.cells}
    assert cells["autosteer"].counts["unparsed"] == auto.count


def test_gold_answers_of_september_come_from_mmlu_by_content(september: Imported) -> None:
    unknown = the_finding(september, "no_gold", None)
    assert unknown.count == 12, "three items whose wording differs from MMLU's"
    for cell in september.cells:
        for record in cell.records:
            assert (record.gold is None) == (record.item.startswith("prompt-"))
            if record.gold is not None:
                assert record.item.startswith("mmlu/")
                assert record.gold in record.prompt
    assert 0.6 < (september.cells[0].metrics["accuracy"].value or 0) < 0.8
