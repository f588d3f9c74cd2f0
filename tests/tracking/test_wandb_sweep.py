"""A sweep's own run in W&B, as the real client wrote it: the numbers, tables and figures of its report."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes import start
from sweeps import KINDS, QUERIES, compared, write_reports, write_sweep
from wandb_log import read_runs

from mindgap.tracking import NoTracker


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A sweep that was logged twice, offline: `folder`, `messages`, `runs`, and `document`, its comparison.json."""
    folder = tmp_path_factory.mktemp("outputs") / "study"
    write_sweep(folder, kinds=KINDS[:4], queries=QUERIES[:4], items=12)
    write_reports(folder)
    messages = [step["message"] for step in start(folder, [{}, {"tracker": {"tags": ["mine"]}}], {}).steps()]
    document = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    return SimpleNamespace(folder=folder, messages=messages, runs=read_runs(folder), document=document)


def cells(logged: SimpleNamespace) -> dict[str, Any]:
    """The cells of comparison.json by what people call them."""
    return {cell["name"]: cell for cell in logged.document["groups"][0]["cells"]}


def test_the_summary_is_of_the_cells_group_and_told_from_them(logged: SimpleNamespace) -> None:
    run = logged.runs[-1]
    assert (run.group, run.job_type, run.exit_code) == ("study", "summary", 0)
    assert run.tags == ["mine", "summary", "tiny", "proxy"]
    assert run.host == ""


def test_a_sweep_that_is_logged_again_replaces_its_run(logged: SimpleNamespace) -> None:
    assert [message.startswith("W&B offline") for message in logged.messages] == [True, True]
    assert len(logged.runs) == 2
    assert len({run.id for run in logged.runs}) == 1


def test_the_comparison_table_has_every_difference_of_the_report(logged: SimpleNamespace) -> None:
    rows = logged.runs[-1].table("comparison")
    expected = {
        (name, metric): found for name, cell in cells(logged).items() for metric, found in cell["differences"].items()
    }
    assert {(row["cell"], row["metric"]) for row in rows} == set(expected)
    for row in rows:
        found = expected[row["cell"], row["metric"]]
        for name in ("value", "low", "high", "p", "p_holm", "p_bh", "clear", "n"):
            assert row[name] == found[name], name


def test_the_table_of_cells_has_metrics_harmonic_mean_and_front(logged: SimpleNamespace) -> None:
    rows = {row["name"]: row for row in logged.runs[-1].table("cells")}
    assert set(rows) == set(cells(logged))
    for name, cell in cells(logged).items():
        for end, field in (("", "value"), ("_low", "low"), ("_high", "high")):
            assert rows[name][f"accuracy{end}"] == cell["metrics"]["accuracy"][field]
            assert rows[name][f"harmonic{end}"] == cell["harmonic"][field]
        assert rows[name]["samples"] == 48
    fronts = {row["cell"]: row["probability"] for row in logged.runs[-1].table("pareto")}
    assert fronts == {name: cell["front"]["probability"] for name, cell in cells(logged).items()}


def test_headline_figures_and_file_are_the_reports(logged: SimpleNamespace) -> None:
    run = logged.runs[-1]
    assert run.summary["headline"] == logged.document["groups"][0]["headline"]
    figures = {name for name, value in run.summary.items() if name.startswith("figures/")}
    assert {"figures/tradeoff-accuracy", "figures/distribution-behaviour", "figures/heat-coherence"} <= figures
    for name in figures:
        assert json.loads((run.folder / "files" / run.summary[name]["path"]).read_text(encoding="utf-8"))["data"]
    copied = (run.folder / "files" / "comparison.json").read_bytes()
    assert copied == (logged.folder / "comparison.json").read_bytes()


def test_without_a_tracker_a_sweep_is_left_alone(tmp_path: Path) -> None:
    assert (
        NoTracker().log_sweep(compared(write_sweep(tmp_path / "study", kinds=KINDS[:1], queries=QUERIES[:1], items=2)))
        is None
    )
