"""A sweep whose cells are jobs of a real SLURM: all run; killed, requeued and late ones lose nothing and say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import held
import psutil
import pytest
import slurm
from scripted import judge_files

import mindgap
from mindgap.results.files import read_cell
from mindgap.results.planned import LOST, read_planned
from mindgap.results.sweep import read_sweep
from mindgap.study.claims import CLAIM

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(slurm.missing()),
        reason=f"no SLURM here, {', '.join(slurm.missing())} missing; Debian: slurmctld slurmd slurm-client munge",
    ),
]
SAMPLES = 6
STUDY = (
    *("--config-dir=conf", "backend=held", "judge=reader", "tracker=none", "task=starter_open"),
    *(f"task.limit={SAMPLES}", "query_set.queries=[be funny]", "method=prompt", "resamples=200"),
    *("hydra/launcher=submitit_slurm", "-m"),
)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """In which SLURM's commands and studies speak to a cluster of this module's own."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm.cluster(Path(folder)) as environment:
        root, helpers = Path(mindgap.__file__).parents[1], Path(slurm.__file__).parent
        yield {**environment, "PYTHONPATH": os.pathsep.join([str(root), str(helpers)]), "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Study:
    """Instructed cells in a folder, each a job."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *settings: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mindgap", *STUDY, "sweep=s", *settings],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def go(self) -> None:
        """Let the instructed cell answer on."""
        (self.folder / "go").touch()

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def sweep(self) -> Path:
        return self.folder / "outputs" / "s"

    @property
    def statuses(self) -> list[str]:
        """How each planned cell ended, in the order of the plan."""
        return [read_cell(cell.folder).status for cell in read_planned(self.sweep)]

    def first_held(self, cells: int) -> str:
        """SLURM's name of the first job, when all of so many wait in the middle of their replies."""
        until(lambda: len(self.asked) == held.BEFORE * cells)
        return min(self.sweep.glob(".submitit/*/*_submitted.pkl")).parent.name

    def tell_slurm(self, *command: str) -> None:
        subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)


def until(holds: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


@contextmanager
def study_in(folder: Path, environment: dict[str, str]) -> Iterator[Study]:
    judge_files(folder / "conf", reader={})
    (folder / "conf" / "backend").mkdir(parents=True)
    (folder / "conf" / "backend" / "held.yaml").write_text(f"_target_: held.HeldBackend\nfolder: {folder}\n")
    study = Study(folder, environment)
    yield study
    for process in study.started:
        process.kill()
        process.communicate()


@pytest.fixture
def study(tmp_path: Path, environment: dict[str, str]) -> Iterator[Study]:
    with study_in(tmp_path, environment) as study:
        yield study


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Study]:
    """A study whose job has one minute and needs more; it waits while the other tests are run."""
    with study_in(tmp_path_factory.mktemp("late"), environment) as study:
        study.start("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=1")
        yield study


@pytest.mark.usefixtures("late")
def test_a_killed_job_s_cell_is_a_failed_row_and_the_same_command_makes_it_whole(study: Study) -> None:
    running = study.start("seed=0,1")
    study.tell_slurm("scancel", "--signal=KILL", study.first_held(2))
    assert running.stdout is not None
    said = list(iter(running.stdout.readline, "The job of one cell has died; waiting for 1 other.\n"))
    study.go()
    rest, _ = running.communicate(timeout=200)
    assert running.returncode == 1, said
    assert "1 of 2  Prompting, seed 1" in rest and f"failed: {LOST}"[:40] in rest
    assert study.statuses == ["failed", "finished"]

    again = study.start("seed=0,1")
    said_again, _ = again.communicate(timeout=200)
    assert again.returncode == 0, said_again
    assert "1 of 2" in said_again and "2 of 2" in said_again
    assert study.statuses == ["finished", "finished"]
    rows = (study.sweep / "summary.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [cell.name for cell in read_planned(study.sweep)]
    assert sorted(study.asked) == sorted(set(study.asked)) and len(study.asked) == 2 * SAMPLES
    assert not list(study.sweep.glob(f"*/{CLAIM}*"))


def test_a_job_that_is_put_back_into_the_queue_takes_its_cell_over(study: Study) -> None:
    running = study.start()
    job = study.first_held(1)
    (claim,) = study.sweep.glob(f"*/{CLAIM}")
    first_attempt = json.loads(claim.read_text())["pid"]
    study.tell_slurm("scontrol", "requeue", job)
    until(lambda: not psutil.pid_exists(first_attempt))
    study.go()
    said, _ = running.communicate(timeout=200)
    assert running.returncode == 0, said
    assert study.statuses == ["finished"]
    log = next(study.sweep.glob("*/run.log")).read_text()
    assert log.count("cell tiny-prompt") == 2, "two attempts"
    assert sorted(study.asked) == sorted(set(study.asked)) and len(study.asked) == SAMPLES


def test_a_job_out_of_time_is_a_failed_row_that_says_so(late: Study) -> None:
    (running,) = late.started
    said, _ = running.communicate(timeout=200)
    assert running.returncode == 1, said
    assert "at work on 1 cell, 0 of 1 done:\n        Prompting  generating" in said
    (cell,) = read_sweep(late.sweep).cells
    assert cell.status == "failed"
    assert "timed-out" in cell.reason or cell.reason == LOST  # SLURM's warning was heard, or came before it could be
