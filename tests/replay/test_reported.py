"""What a report says of an import: its reference, its strengths as numbers, and what was found wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mindgap.analysis.whole import compare_sweep
from mindgap.core.errors import ConfigError
from mindgap.replay.importing import import_recording
from mindgap.report.browser import payload
from mindgap.report.write import write_report
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.maps import build_map
from mindgap.results.sweep import read_sweep

COLUMNS = {"query": "q", "method": "m", "prompt": "p", "response": "r", "behaviour": "b", "coherence": "c"}
Written = Callable[..., Path]


def a_map(**changes: Any) -> ColumnMap:
    columns = {**COLUMNS, **changes.pop("columns", {})}
    return build_map({"source": "a test", "model": "m", "judge": "j", "columns": columns, **changes})


def rows(methods: dict[str, float], **own: Any) -> list[dict[str, Any]]:
    return [
        {"q": q, "m": method, "p": f"Question {n}?", "r": f"{method} {own} {n}", "b": score, "c": 4, **own}
        for method, score in methods.items()
        for q in ("be brief", "be funny")
        for n in range(4)
    ]


@pytest.mark.parametrize("name", ["Unsteered", "baseline", "None", "control", "Original"])
def test_the_reference_is_known_by_its_usual_names(name: str, written: Written, tmp_path: Path) -> None:
    import_recording(written(rows({"abliterated": 3, name: 2, "zeta": 4})), a_map(), tmp_path / "x", resamples=100)
    (group,) = read_sweep(tmp_path / "x").groups
    assert group.reference.label == name


def test_the_reference_is_the_one_that_the_map_names(written: Written, tmp_path: Path) -> None:
    path = written(rows({"before": 3, "after": 2, "control": 4}))
    with pytest.raises(ConfigError, match=r"map\.reference=befor: no method is called so\. There are: before, after"):
        import_recording(path, a_map(reference="befor"), tmp_path / "x", resamples=100)
    import_recording(path, a_map(reference="before"), tmp_path / "x", resamples=100)
    assert read_sweep(tmp_path / "x").groups[0].reference.method == "before"


def test_strengths_that_are_numbers_sort_as_numbers_and_make_a_dose_curve(written: Written, tmp_path: Path) -> None:
    some = [
        row
        for strength, score in (("10", 5), ("2", 3), ("-1", 1), ("0.0", 2), ("0.50", 2.5))
        for row in rows({"vector": score}, s=strength)
    ]
    import_recording(written(some), a_map(columns={"strength": "s"}), tmp_path / "x", resamples=100)
    sweep = read_sweep(tmp_path / "x")
    (group,) = sweep.groups
    assert [cell.strength for cell in group.cells] == ["0", "-1", "0.5", "2", "10"]
    assert group.reference.dose == 0
    comparison = compare_sweep(sweep)
    curves = {response.metric: response for label, response in comparison.groups[0].dose_responses}
    assert curves["behaviour"].doses == (0, 0.5, 2, 10)
    paths = write_report(comparison, formats=("html", "markdown", "latex"))
    assert all("strength as recorded" in path.read_text(encoding="utf-8") for path in paths)
    assert {cell["recorded"] for cell in payload(sweep, max_samples=1000)["cells"]} == {
        f"strength {strength}, as recorded" for strength in ("0", "-1", "0.5", "2", "10")
    }


def test_equal_numbers_are_one_strength(written: Written, tmp_path: Path) -> None:
    some = [*rows({"v": 2}, s="1")[:4], *rows({"v": 2}, s="1.0")[4:]]
    imported = import_recording(written(some), a_map(columns={"strength": "s"}), tmp_path / "x", resamples=100)
    assert [cell.strength for cell in imported.cells] == ["1"]


def test_findings_stand_in_every_report(written: Written, tmp_path: Path) -> None:
    some = rows({"control": 2, "vector": 4})
    some[0]["b"], some[-1]["r"] = 9, ""
    import_recording(written(some), a_map(), tmp_path / "x", resamples=100)
    sweep = read_sweep(tmp_path / "x")
    for path in write_report(compare_sweep(sweep), formats=("html", "markdown", "latex")):
        text = path.read_text(encoding="utf-8")
        assert "outside the scale" in text, path.name
        assert "responses are empty" in text, path.name
    assert {cell["recorded"] for cell in payload(sweep, max_samples=1000)["cells"]} == {"steering not recorded"}


def test_methods_of_two_files_are_compared(written: Written, tmp_path: Path) -> None:
    for name in ("control", "vector"):
        some = [
            {key: value for key, value in row.items() if key != "m"}
            for row in rows({name: 2 if name == "control" else 4})
        ]
        own = a_map(columns={"method": None}, constants={"method": name})
        import_recording(written(some, f"{name}.csv"), own, tmp_path / "x", resamples=100)
    (group,) = read_sweep(tmp_path / "x").groups
    assert [cell.method for cell in group.cells] == ["control", "vector"]


def test_a_query_inside_another_word_is_no_instruction(written: Written, tmp_path: Path) -> None:
    some = rows({"control": 2, "prompt": 4})
    for row in some:
        row["q"] = {"be brief": "art", "be funny": "act like a pirate"}[row["q"]]
        row["s"] = "You are a smart assistant."
        if row["m"] == "prompt":
            row["s"] += f" Please {row['q']}."
    methods = {"control": {"name": "control", "asks": False}, "prompt": {"name": "prompt", "asks": True}}
    own = a_map(columns={"system_prompt": "s"}, methods=methods)
    assert import_recording(written(some), own, tmp_path / "x", resamples=100).findings == ()
