"""No cell is lost in silence: what was planned and has no result is named, and the end of a sweep is reached anyway."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import KINDS, QUERIES, write_sweep

from mindgap import finish
from mindgap.core.compose import composed, config_folder
from mindgap.results.files import METRICS_FILE, read_cell
from mindgap.results.planned import LOST, PLANNED_FILE, read_planned, write_planned
from mindgap.results.sweep import read_sweep
from mindgap.study.claims import CLAIM, claim

STUDY = (
    *("model=tiny", "judge=proxy", "tracker=none", "task=starter_open", "task.limit=2", "decoding.max_tokens=8"),
    "query_set.queries=[be funny]",
)
DYING = '''"""A method whose job is killed, as by a cluster or for want of memory."""
import os, pathlib, signal, time
from dataclasses import dataclass
from typing import ClassVar
@dataclass(frozen=True)
class Dying:
    needs: ClassVar[frozenset[str]] = frozenset({"generate"})
    def edits(self, queries, bench):
        while not list(pathlib.Path("outputs/killed").glob("*/metrics.json")):  # the other cell first
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
'''
DYING_YAML = """\
name: dying
label: Dying
interventions:
  - _target_: dying.Dying
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Three finished cells as they were planned, control last."""
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:3], queries=QUERIES[:3], items=4)
    tracker = composed(["tracker=none"], config_folder())["tracker"]
    cells = sorted(read_sweep(folder).cells, key=lambda cell: cell.method == "control")
    write_planned(folder, [replace(cell, config={**cell.config, "tracker": tracker}) for cell in cells])
    return folder


def lose(folder: Path, method: str) -> Path:
    """Take away the result of a method's cell, as if its job had been killed."""
    (cell,) = (cell for cell in read_planned(folder) if cell.method == method)
    (cell.folder / METRICS_FILE).unlink()
    return cell.folder


def test_a_lost_cell_is_shown_as_failed_and_the_rest_is_summed_up(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = lose(sweep, "prompt")
    assert finish.main([str(sweep)]) == 1
    said = capsys.readouterr().out
    assert "Prompting failed: no result" in " ".join(said.split())
    cell = read_cell(lost)
    assert (cell.status, cell.reason, cell.label) == ("failed", LOST, "Prompting")
    assert (sweep / "report.html").is_file()


def test_rows_stand_in_the_order_of_the_plan(sweep: Path) -> None:
    assert finish.main([str(sweep)]) == 0
    rows = [line.split(",")[0] for line in (sweep / "summary.csv").read_text().splitlines()[1:]]
    assert rows == [cell.name for cell in read_planned(sweep)]
    assert rows[-1].startswith("tiny-control")


def test_a_cell_that_is_still_at_work_is_left_alone(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = lose(sweep, "prompt")
    (running / CLAIM).write_text(json.dumps({"host": "elsewhere", "pid": 1, "created": 0.0}))
    assert finish.main([str(sweep)]) == 1
    assert f"still at work: {running.name}" in capsys.readouterr().out
    assert not (running / METRICS_FILE).exists() and (running / CLAIM).exists()


@pytest.mark.parametrize("words", [[], ["a", "b"], ["nowhere"]])
def test_what_is_no_sweep_is_refused_in_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert finish.main(words or ["--"]) == 2
    assert "sweep" in capsys.readouterr().err


def test_the_plan_holds_no_secret(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "canary-0123456789")
    cells = read_planned(sweep)
    cells[0].config["judge"] = {"api_key": "canary-0123456789"}
    write_planned(sweep, cells)
    assert "canary" not in (sweep / PLANNED_FILE).read_text()


def test_a_job_that_the_scheduler_starts_again_takes_its_cell_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it runs now: the scheduler starts no second attempt while the first one lives."""
    first = {"host": "elsewhere", "pid": 1, "created": 0.0, "job": "slurm 7 0", "attempt": 0}
    (tmp_path / CLAIM).write_text(json.dumps(first))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert not claim(tmp_path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert not claim(tmp_path)  # another task of the job
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert claim(tmp_path)
    assert json.loads((tmp_path / CLAIM).read_text())["pid"] == os.getpid()


def test_a_dead_owner_s_cell_is_taken_over_unless_it_is_made(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / CLAIM).write_text(json.dumps({"host": os.uname().nodename, "pid": dead.pid, "created": 0.0}))
    (tmp_path / METRICS_FILE).write_text("{}")
    assert not claim(tmp_path)
    (tmp_path / METRICS_FILE).unlink()
    assert claim(tmp_path)


@pytest.mark.usefixtures("tiny")
def test_a_sweep_whose_worker_is_killed_is_summed_up_with_what_is_there(tmp_path: Path) -> None:
    """joblib ends with an exception when a worker dies; cells that others have made are reported all the same."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "dying.py").write_text(DYING)
    (tmp_path / "conf" / "method").mkdir(parents=True)
    (tmp_path / "conf" / "method" / "dying.yaml").write_text(DYING_YAML)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mindgap", "--config-dir", "conf", *STUDY, "sweep=killed", "method=control,dying"),
            *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "-m"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(finish.__file__).parents[1]), str(tmp_path)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    said = " ".join(run.stdout.split())
    assert "The jobs could not be run to their end: TerminatedWorkerError" in said
    assert re.search(r"Dying.{0,12} failed: no result", said), said
    folder = tmp_path / "outputs" / "killed"
    statuses = {cell.method: cell.status for cell in read_sweep(folder).cells}
    assert statuses == {"control": "finished", "dying": "failed"}
    assert (folder / "report.html").is_file()
    assert not list(folder.glob(f"*/{CLAIM}*"))
