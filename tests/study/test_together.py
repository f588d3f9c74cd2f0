"""One sweep, one batch: the same samples and counts as cell by cell; a cell that cannot be planned harms no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.usefixtures("tiny")

SETTINGS = (
    *("task=starter_open", "task.limit=2", "task.max_tokens=8", "query_set.queries=[be funny]", "judge=proxy"),
    *("tracker=none", "resamples=200", "strength=dose", "strength.dose=0,0.4"),
)


def run(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mindgap", *SETTINGS, *settings, "-m"]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=560
    )


def cells(folder: Path) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """What `metrics.json` and `samples.parquet` of each cell say, by the cell's folder."""
    return {
        path.parent.name: (json.loads(path.read_text()), pq.read_table(path.with_name("samples.parquet")).to_pylist())
        for path in (folder / "outputs" / "s").glob("*/metrics.json")
    }


def test_all_cells_in_one_batch_give_what_each_gives_alone(tmp_path: Path) -> None:
    both = {}
    for together in ("true", "false"):
        (folder := tmp_path / together).mkdir()
        done = run(folder, "method=control,vector", f"together={together}", "sweep=s", "decoding.temperature=0")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not list((folder / "outputs" / "s").rglob(".*"))
        both[together] = cells(folder)
    assert both["true"].keys() == both["false"].keys() and len(both["true"]) == 3
    for name, (metrics, samples) in both["true"].items():
        alone, samples_alone = both["false"][name]
        assert [row["response"] for row in samples] == [row["response"] for row in samples_alone]
        assert [row["key"] for row in samples] == [row["key"] for row in samples_alone]
        assert metrics["counts"] == alone["counts"]
        assert metrics["seconds"] > 0


def test_a_cell_that_cannot_be_planned_is_the_only_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Broken:\n"
        "    needs = frozenset()\n"
        "    def edits(self, queries, bench):\n"
        "        raise RuntimeError('no such direction')\n"
    )
    (tmp_path / "my_conf" / "method").mkdir(parents=True)
    (tmp_path / "my_conf" / "method" / "broken.yaml").write_text(
        "_target_: mindgap.steering.methods.Method\nname: broken\nlabel: Broken\n"
        "interventions:\n  - _target_: broken.Broken\n"
    )
    done = run(tmp_path, "--config-dir", "my_conf", "method=broken,control", "strength.dose=0.4", "sweep=s")
    assert done.returncode == 1
    assert "no such direction" in done.stdout
    statuses = {metrics["method"]: metrics["status"] for metrics, _ in cells(tmp_path).values()}
    assert statuses == {"broken": "failed", "control": "finished"}
