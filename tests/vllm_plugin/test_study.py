"""A whole study on vLLM servers: what it finds is what the local engine finds, and a server may die under it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from vllm_servers import PRESSED, STARTS_SERVERS, Fleet, serving

pytestmark = [*STARTS_SERVERS, pytest.mark.slow, pytest.mark.timeout(1500)]

STUDY = (
    *("--config-dir", "conf", "-m", "method=control,few,turned", "query_set=quick", "task=starter", "task.limit=2"),
    *("decoding.temperature=0", "decoding.max_tokens=16", "judge=proxy", "judge.embedding=false"),
    *("tracker=none", "resamples=200", "sweep=one"),
)
METHODS = {
    "few": "{_target_: mindgap.steering.vectors.DifferenceInMeans, depth: 0.4, prompts: 4}",
    "turned": "{_target_: mindgap.steering.directed.Directed, operation: add_constant_norm, norm: 0.3, "
    "source: {_target_: mindgap.steering.contrast_source.Contrast, layers: 0.4, prompts: 4}}",
}
"""Interventions of two methods: one adds a vector, the other does what a server computes token by token."""
SAID = ("method", "query", "item", "response", "finish_reason", "answer", "loglik_answer", "completion_tokens", "error")
"""Columns of a sample that depend on what the model said."""


def study(folder: Path, *settings: str) -> subprocess.Popen[str]:
    (folder / "conf" / "method").mkdir(parents=True, exist_ok=True)
    for name, intervention in METHODS.items():
        text = (
            f"_target_: mindgap.steering.methods.Method\nname: {name}\nlabel: {name}\ninterventions: [{intervention}]\n"
        )
        (folder / "conf" / "method" / f"{name}.yaml").write_text(text)
    command = [sys.executable, "-m", "mindgap", *STUDY, *settings]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(folder: Path, *settings: str) -> Path:
    running = study(folder, *settings)
    said = running.communicate(timeout=1200)[0]
    assert running.returncode == 0, said
    return folder / "outputs" / "one"


def samples(sweep: Path) -> list[dict[str, Any]]:
    rows = [row for path in sorted(sweep.glob("*/samples.parquet")) for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: (row["method"], row["query"], row["item"]))


def assert_alike(here: Path, there: Path) -> None:
    """Equal texts, likelihoods to 1e-4 nats a token, and so equal metrics."""
    left, right = samples(here), samples(there)
    assert len(left) == len(right) > 0
    for one, other in zip(left, right, strict=True):
        assert {name: one[name] for name in SAID} == {name: other[name] for name in SAID}
        assert one["option_logprobs"] == pytest.approx(other["option_logprobs"], abs=1e-3)
        assert one["perplexity"] == pytest.approx(other["perplexity"], rel=1e-3)
    values, others = metrics(here), metrics(there)
    assert values.keys() == others.keys()
    for name, value in values.items():
        assert value == pytest.approx(others[name], rel=1e-3, nan_ok=True), name


def metrics(sweep: Path) -> dict[tuple[str, str], float]:
    """Every metric of every cell, by the cell's name without the hash of its settings."""
    saved = {path.parent.name.rpartition("-")[0]: json.loads(path.read_text()) for path in sweep.glob("*/metrics.json")}
    return {
        (cell, name): float("nan") if estimate["value"] is None else estimate["value"]
        for cell, content in saved.items()
        for name, estimate in content["metrics"].items()
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("local"), "backend=local")


def test_a_study_finds_on_servers_what_it_finds_here(pressed: Fleet, local: Path, tmp_path: Path) -> None:
    assert_alike(finished(tmp_path, "backend=vllm", pressed.setting), local)


def test_a_server_that_is_killed_costs_a_running_study_nothing(local: Path, tmp_path: Path) -> None:
    with serving("eager=true", "sequences=8", f"options={PRESSED}", replicas=2) as fleet:
        running = study(tmp_path, "backend=vllm", fleet.setting, "backend.concurrency=4", "--verbose")
        store = tmp_path / "outputs" / "store.sqlite"
        while running.poll() is None and completions(store) < 8:
            time.sleep(0.2)
        assert running.poll() is None, "the study ended before a server could be killed"
        os.killpg(fleet.processes[0], signal.SIGKILL)
        said = running.communicate(timeout=1200)[0]
        assert running.returncode == 0, said
        assert "its requests go to the other servers" in said
        assert_alike(tmp_path / "outputs" / "one", local)


def completions(store: Path) -> int:
    """How many replies a store holds, looked at while another process writes to it."""
    if not store.is_file():
        return 0
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db, suppress(sqlite3.OperationalError):
        return int(db.execute("SELECT count(*) FROM record WHERE kind = 'completion'").fetchone()[0])
    return 0
