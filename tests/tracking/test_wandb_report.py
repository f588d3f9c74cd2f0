"""A W&B Report from the command line, by the real clients, at a server on loopback."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes import KEY, closed_port, spawn
from standin import TEAM, serving
from sweeps import HOSTILE, KINDS, QUERIES, compared, write_sweep

from mindgap.core.wording import MINUS
from mindgap.results.cell import CellResult
from mindgap.results.sweep import read_sweep
from mindgap.tracking import WandbTracker
from mindgap.tracking.wandb_report import PublishError, publish, tracker_of

pytest.importorskip("wandb_workspaces")


def report(folder: Path, *options: str, **environment: str) -> tuple[int, str, str]:
    """What `python -m mindgap.report FOLDER --tracker wandb` returns and prints."""
    process = spawn(folder, ["-m", "mindgap.report", str(folder), "--tracker", "wandb", *options], environment)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A sweep of a hostile model, reported twice: `first` and `second` printed, `standin`, `folder`, `spec`, `view`."""
    folder = tmp_path_factory.mktemp("outputs") / "study"
    write_sweep(folder, kinds=KINDS[:3], queries=QUERIES[:4], items=12, hostile=True)
    with serving() as standin:
        environment = {"WANDB_BASE_URL": standin.url, "WANDB_API_KEY": KEY}
        outputs = []
        for _ in range(2):
            code, out, err = report(folder, **environment)
            assert (code, err) == (0, "")
            outputs.append(out)
        (view,) = standin.views.values()
        yield SimpleNamespace(
            first=outputs[0], second=outputs[1], standin=standin, folder=folder, view=view, spec=view["spec"]
        )


def grids(spec: Mapping[str, Any]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each panel grid's run set and panels."""
    grids = [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    return [(grid["runSets"][0], grid["panelBankSectionConfig"]["panels"]) for grid in grids]


def texts(node: Any, key: str) -> list[str]:
    """All texts that stand under `key` anywhere in a spec."""
    if isinstance(node, Mapping):
        own = [node[key]] if isinstance(node.get(key), str) else []
        return own + [text for value in node.values() for text in texts(value, key)]
    return [text for value in node for text in texts(value, key)] if isinstance(node, list) else []


def ids(runset: Mapping[str, Any]) -> set[str]:
    (only,) = runset["filters"]["filters"]
    assert (only["key"], only["op"]) == ({"section": "run", "name": "name"}, "IN")
    return set(only["value"])


def kept_ids(reported: SimpleNamespace) -> set[str]:
    return {path.read_text(encoding="utf-8").strip() for path in reported.folder.glob("*/wandb_run_id")}


def test_the_report_is_where_it_says_and_made_once(reported: SimpleNamespace) -> None:
    address = f"W&B Report: {reported.standin.url}/{TEAM}/mindgap/reports/"
    assert [out.splitlines()[-1].startswith(address) for out in (reported.first, reported.second)] == [True, True]
    assert reported.view["id"] is not None  # the second time, an update of the first
    assert (reported.view["displayName"], reported.view["type"]) == ("study: what the steering cost", "runs")


def test_cells_that_w_and_b_does_not_have_are_logged_first(reported: SimpleNamespace) -> None:
    names = [cell.name for cell in read_sweep(reported.folder).cells]
    assert len(names) == 3
    assert all(f"{name}: W&B: http" in reported.first for name in names)
    assert not any(name in reported.second for name in names)
    assert "summary: W&B: http" in reported.second


def test_run_sets_are_the_cells_and_the_summary_and_nothing_else(reported: SimpleNamespace) -> None:
    *of_cells, (summary, _) = grids(reported.spec)
    assert all(ids(runset) == kept_ids(reported) for runset, _ in of_cells)
    assert ids(summary) == {(reported.folder / "wandb_run_id").read_text(encoding="utf-8").strip()}
    grouped = [[key["name"] for key in runset["grouping"]] for runset, _ in of_cells if runset["grouping"]]
    assert grouped == [["model.value.name", "method.value.name"]]


def test_panels_show_what_the_runs_have(reported: SimpleNamespace) -> None:
    panels = [panel for _, grid_panels in grids(reported.spec) for panel in grid_panels]
    assert {"Bar Chart", "Scatter Plot", "Parallel Coordinates Plot", "Weave", "Media Browser"} <= {
        panel["viewType"] for panel in panels
    }
    logged = reported.standin.summary(min(kept_ids(reported)))
    summed = reported.standin.summary((reported.folder / "wandb_run_id").read_text(encoding="utf-8").strip())
    config = json.dumps([panel["config"] for panel in panels])
    shown = [text.removeprefix("summary:") for text in texts(panels, "accessor") + texts(panels, "xAxis")]
    assert {"behaviour", "accuracy"} <= set(shown)
    assert [name for name in shown if name not in logged and name not in ("config:method.value.name", "dose")] == []
    media = [name for panel in panels for name in panel["config"].get("mediaKeys", [])]
    assert media
    assert [name for name in media if name not in summed] == []
    assert [name for name in ("samples", "comparison", "cells", "pareto") if f'"{name}"' not in config] == []


def test_question_answer_and_tradeoff_come_first(reported: SimpleNamespace) -> None:
    group = json.loads((reported.folder / "comparison.json").read_text(encoding="utf-8"))["groups"][0]
    types = [block["type"] for block in reported.spec["blocks"]]
    first = reported.spec["blocks"][: types.index("panel-grid") + 1]
    said = texts(first, "text")
    assert said.index(group["asked"]) < said.index(group["headline"])
    panels = first[-1]["metadata"]["panelBankSectionConfig"]["panels"]
    assert {panel["viewType"] for panel in panels} == {"Scatter Plot"}


def test_headline_and_intervals_stand_in_the_report(reported: SimpleNamespace) -> None:
    document = json.loads((reported.folder / "comparison.json").read_text(encoding="utf-8"))
    group = document["groups"][0]
    assert group["headline"] in texts(reported.spec["blocks"], "text")
    markdown = "\n".join(texts(reported.spec["blocks"], "content"))
    difference = group["cells"][1]["differences"]["behaviour"]
    low, high = (f"{difference[end]:+.2f}".replace("-", MINUS) for end in ("low", "high"))
    assert f"[{low}, {high}]" in markdown


def test_a_models_markup_stays_text(reported: SimpleNamespace) -> None:
    markdown = "\n".join(texts(reported.spec["blocks"], "content"))
    assert "script" in HOSTILE and "script" in markdown
    assert "<script>" not in markdown


def test_the_key_is_nowhere(reported: SimpleNamespace) -> None:
    files = [path.read_bytes() for path in reported.folder.rglob("*") if path.is_file()]
    assert not [content for content in [*files, *reported.standin.everything] if KEY.encode() in content]


@pytest.mark.parametrize("key", ["", KEY])
def test_without_key_or_server_other_reports_are_written_and_it_says_what_is_missing(tmp_path: Path, key: str) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=QUERIES[:2], items=4)
    port = closed_port()
    code, out, err = report(
        folder, WANDB_BASE_URL=f"http://127.0.0.1:{port}", **({"WANDB_API_KEY": key} if key else {})
    )
    assert code == 2
    assert out.split() == [str(folder / "report.html")]
    assert err.count("\n") == 1
    assert (str(port) if key else "WANDB_API_KEY") in err
    assert not list(folder.rglob("wandb_run_id"))


def test_without_the_client_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=QUERIES[:2], items=4)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)  # as where it is not installed
    with pytest.raises(PublishError, match=r"mindgap\[wandb-report\]"):
        publish(compared(folder))


def test_settings_are_those_of_the_cells_unless_others_are_given(tmp_path: Path) -> None:
    cells = read_sweep(write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=QUERIES[:2], items=4)).cells
    assert tracker_of(cells) == WandbTracker(mode="online")
    saved = {"_target_": "mindgap.tracking.WandbTracker", "project": "steering", "entity": "us", "mode": "offline"}
    tracked = [_tracked(cells[0], saved), cells[1]]
    assert tracker_of(tracked) == WandbTracker(mode="online", project="steering", entity="us")
    assert tracker_of(tracked, project="other", entity="them") == WandbTracker("other", "them", mode="online")


def _tracked(cell: CellResult, tracker: dict[str, Any]) -> CellResult:
    return replace(cell, config={**cell.config, "tracker": tracker})
