"""Whole studies on the embedded model, through the command line, as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

pytestmark = pytest.mark.usefixtures("tiny")  # skips where the embedded model is not installed

SMALL = [
    "task=starter_open",
    "task.limit=2",
    "task.max_tokens=8",
    "query_set.queries=[be funny]",
    "judge=proxy",
    "tracker=none",
    "resamples=200",
]


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    return {**kept, "OMP_NUM_THREADS": "1"}


def mindgap(folder: Path, *arguments: str, ok: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mindgap", *SMALL, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def cells(folder: Path, sweep: str) -> dict[str, dict]:
    """`metrics.json` of every cell of a sweep, by method and strength."""
    read = [json.loads(path.read_text()) for path in (folder / "outputs" / sweep).glob("*/metrics.json")]
    return {f"{cell['method']} {cell['strength']}": cell for cell in read}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sweep over all methods at two doses, in its folder; `first.txt` is what was printed."""
    folder = tmp_path_factory.mktemp("study")
    methods = "method=control,prompt,vector,random"
    printed = mindgap(folder, methods, "strength=dose", "strength.dose=0,0.4", "sweep=first", "-m")
    (folder / "first.txt").write_text(printed)
    return folder


def test_a_strength_without_effect_makes_one_cell(study: Path) -> None:
    assert sorted(cells(study, "first")) == [
        "control none",
        "prompt none",
        "random dose0",
        "random dose0.4",
        "vector dose0",
        "vector dose0.4",
    ]
    assert "2 jobs merged" in (study / "first.txt").read_text()


def test_zero_strength_changes_nothing(study: Path) -> None:
    by_name = cells(study, "first")
    for zero in ("vector dose0", "random dose0"):
        assert by_name[zero]["metrics"] == by_name["control none"]["metrics"]
        assert by_name[zero]["dose"] == 0
    assert by_name["vector dose0.4"]["metrics"] != by_name["control none"]["metrics"]
    assert by_name["vector dose0.4"]["dose"] == pytest.approx(0.4)


def test_every_sample_is_written_down(study: Path) -> None:
    summary = list(csv.DictReader((study / "outputs" / "first" / "summary.csv").open()))
    assert len(summary) == 6
    for folder in (study / "outputs" / "first").glob("tiny-*"):
        table = pq.read_table(folder / "samples.parquet").to_pylist()
        assert len(table) == 2
        for row in table:
            assert row["query"] == "be funny" and row["response"].strip() and row["judge"] in ("proxy", "proxy-text")
            assert row["loglik_correct"] in (True, False) and len(row["option_logprobs"]) == 4
            assert (row["behaviour"] is None) == (row["behaviour_missing"] is not None)
            assert bool(row["edits"]) == (row["method"] in ("vector", "random"))
            assert ("please be funny" in row["system_prompt"]) == (row["method"] == "prompt")
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["method"]["name"] in folder.name
        assert "finished" in (folder / "run.log").read_text()


def test_running_it_again_makes_nothing_and_gives_the_same(study: Path) -> None:
    methods = "method=control,prompt,vector,random"
    printed = mindgap(study, methods, "strength=dose", "strength.dose=0,0.4", "sweep=second", "-m")
    assert printed.count(" 0 made") == 6
    first, second = cells(study, "first"), cells(study, "second")
    assert {name: cell["metrics"] for name, cell in first.items()} == {n: c["metrics"] for n, c in second.items()}


def test_a_plan_says_what_is_known_and_runs_nothing(study: Path) -> None:
    again = mindgap(study, "method=control,vector", "strength=dose", "strength.dose=0.4", "plan=true", "sweep=no", "-m")
    rows = [line.split() for line in again.splitlines() if line.strip().startswith(("Control", "Vector"))]
    assert rows == [
        ["Control", "2", "2", "2", "2", "~0", "<0", "0", "s", "0.00"],
        ["Vector", "(dose0.4)", "2", "2", "2", "2", "~0", "<0", "0", "s", "0.00"],
    ]
    new = mindgap(study, "method=prompt", "task.limit=5", "plan=true", "sweep=no")
    (row,) = [line.split() for line in new.splitlines() if line.strip().startswith("Prompting")]
    assert row[1:4] == ["5", "5", "2"]  # five samples, five replies, of which two are known
    assert "Smallest difference" in new
    assert not (study / "outputs" / "no").exists()


def test_a_method_that_is_only_a_file_of_the_users_own(study: Path) -> None:
    (study / "my_conf" / "method").mkdir(parents=True)
    (study / "my_conf" / "method" / "shout.yaml").write_text(
        "name: shout\nlabel: Shout\ninstruction: 'WHEN ANSWERING, PLEASE {query}!'\n"
    )
    mindgap(study, "--config-dir", "my_conf", "method=shout", "sweep=shout")
    (cell,) = cells(study, "shout").values()
    (folder,) = (study / "outputs" / "shout").glob("tiny-shout-*")
    assert cell["label"] == "Shout"
    assert (
        "WHEN ANSWERING, PLEASE be funny!" in pq.read_table(folder / "samples.parquet").to_pylist()[0]["system_prompt"]
    )


def test_a_failing_cell_does_not_lose_the_others(study: Path) -> None:
    (study / "broken" / "method").mkdir(parents=True)
    (study / "broken" / "method" / "broken.yaml").write_text(
        "name: broken\nlabel: Broken\n"
        "interventions: [{_target_: mindgap.steering.vectors.RandomDirection, norm: 1.0e+300}]\n"
    )
    printed = mindgap(study, "--config-dir", "broken", "method=broken,control", "sweep=failing", "-m", ok=False)
    by_name = cells(study, "failing")
    assert {cell["status"] for cell in by_name.values()} == {"failed", "finished"}
    (failed,) = [cell for cell in by_name.values() if cell["status"] == "failed"]
    assert failed["method"] == "broken" and failed["reason"]
    (log,) = (study / "outputs" / "failing").glob("tiny-broken-*/run.log")
    assert "Traceback" in log.read_text()
    assert failed["reason"] in printed
    summary = {row["method"]: row for row in csv.DictReader((study / "outputs" / "failing" / "summary.csv").open())}
    assert summary["broken"]["status"] == "failed" and summary["control"]["status"] == "finished"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path: Path, how: signal.Signals) -> None:
    arguments = [*SMALL, "task.limit=12", "task.max_tokens=16", "backend.max_rows=2", "method=control"]
    running = subprocess.Popen(
        [sys.executable, "-m", "mindgap", *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    kept = wait_for_completions(tmp_path / "outputs" / "store.sqlite", 3)
    running.send_signal(how)
    printed, _ = running.communicate(timeout=60)
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert "the same command goes on from here" in printed and "Traceback" not in printed
    again = subprocess.run(
        [sys.executable, "-m", "mindgap", *arguments, "sweep=again"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=560,
        check=True,
    )
    (cell,) = cells(tmp_path, "again").values()
    assert cell["counts"]["samples"] == 12 and cell["counts"]["cached"] >= kept
    assert "12 samples" in again.stdout


def wait_for_completions(store: Path, least: int) -> int:
    """How many completions the store holds once there are at least `least`."""
    import sqlite3

    for _ in range(600):
        time.sleep(0.2)
        if store.exists():
            try:
                with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
                    (count,) = db.execute("SELECT count(*) FROM record WHERE kind = 'completion'").fetchone()
            except sqlite3.OperationalError:
                continue
            if count >= least:
                return int(count)
    raise AssertionError("no completion was stored in two minutes")


def test_cells_may_run_in_processes_of_their_own(study: Path) -> None:
    """Hydra's joblib launcher: two processes, one store, one folder, the same results."""
    mindgap(
        study,
        *("method=control,vector", "strength=dose", "strength.dose=0,0.4", "sweep=parallel", "-m"),
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    )
    first, parallel = cells(study, "first"), cells(study, "parallel")
    assert sorted(parallel) == ["control none", "vector dose0", "vector dose0.4"]
    for name, cell in parallel.items():
        assert cell["metrics"] == first[name]["metrics"]
