"""Disks that are full or read-only, homes and caches that are not there, odd paths: a study goes on, or stops with what
is safe and what to do. Nothing wrong is recorded: when there is room, the same command ends as if nothing had been.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import mindgap
from mindgap.text.embedding import embedder_lacks

ROOT = Path(mindgap.__file__).parents[1]
EXTENSIONS = ROOT / "examples" / "extensions"
STUDY = (
    *("--config-dir", str(EXTENSIONS / "conf"), "backend=echo", "judge=keywords", "model=parrot", "tracker=none"),
    *("task=starter_open", "task.limit=6", "sweep=one", "method=control,prompt", "-m", "resamples=200"),
)

pytestmark = pytest.mark.skipif(not EXTENSIONS.is_dir(), reason="examples are not here")


def ran(
    folder: Path, *words: str, module: str = "mindgap", before: Callable[[], Any] | None = None, **changes: str | None
) -> subprocess.CompletedProcess[str]:
    """A command in `folder`. changes: of the environment; None takes a variable out."""
    own = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(EXTENSIONS)]), "OMP_NUM_THREADS": "1", **changes}
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env={name: value for name, value in own.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=200,
        preexec_fn=before,
    )


def sentence(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command ended with."""
    assert ended.returncode == 2, ended.stdout + ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("mindgap: ") and "is safe: " in line, line
    return line


def samples(sweep: Path) -> dict[str, Any]:
    """What is recorded, by cell; each cell's metrics have to be whole."""
    found = {}
    for path in sorted(sweep.glob("*/metrics.json")):
        assert json.loads(path.read_text(encoding="utf-8"))["status"] == "finished"
        found[path.parent.name] = pq.read_table(path.parent / "samples.parquet").to_pylist()
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert ran(folder, *STUDY).returncode == 0
    found = samples(folder / "outputs" / "one")
    assert len(found) == 2
    return found


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk, or mounts it anew with other options; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        again = "remount," if os.path.ismount(folder) else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no disk can be mounted here")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    ("size", "first"), [("4k", "planned.json"), ("60k", "metrics.json"), ("800k", "report.html"), ("200k", "store")]
)
def test_a_full_disk(
    size: str, first: str, disk: Callable[[str], Path], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    outputs = disk(f"size={size}") / "o"
    study = (*STUDY, f"outputs={outputs}", *([] if first == "store" else [f"store={tmp_path / 'store.sqlite'}"]))
    said = sentence(ran(tmp_path, *study))
    assert f"{first} " in said and "make room, and the same command goes on" in said
    for cell, recorded in samples(outputs / "one").items():
        assert recorded == undisturbed[cell]
    disk("size=20m")
    ended = ran(tmp_path, *study)
    assert ended.returncode == 0, ended.stderr
    assert samples(outputs / "one") == undisturbed
    assert not [path for path in outputs.rglob(".*") if path.is_file()], "claims and unfinished files"


def test_a_file_that_may_grow_no_further(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """As a quota has it; needs no mount."""
    limit = 1 << 20
    said = sentence(ran(tmp_path, *STUDY, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))
    assert "report.html cannot be used: File too large" in said
    assert samples(tmp_path / "outputs" / "one") == undisturbed


def test_a_disk_that_became_read_only(disk: Callable[[str], Path], tmp_path: Path) -> None:
    folder = disk("size=20m")
    assert ran(folder, *STUDY).returncode == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    disk("ro")
    other = (*STUDY, f"store={tmp_path / 'store.sqlite'}")
    assert "planned.json cannot be used: Read-only" in sentence(ran(folder, *other))
    assert "the store" in sentence(ran(folder, *STUDY))
    assert "comparison.json" in sentence(ran(folder, "outputs/one", module="mindgap.report"))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("home", [None, "/dev/null/nowhere"])
def test_no_home(home: str | None, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    ended = ran(tmp_path, *STUDY, "tracker=wandb", "tracker.mode=offline", HOME=home)
    assert ended.returncode == 0 and "W&B" in ended.stdout, ended.stdout + ended.stderr
    assert list(samples(tmp_path / "outputs" / "one").values()) == list(undisturbed.values())


def test_a_cache_that_cannot_be_written_is_named_with_its_setting(tmp_path: Path) -> None:
    if lacks := embedder_lacks():
        pytest.skip(f"sentence embeddings lack {'; '.join(lacks)}")
    words = ("judge=proxy", "tracker=none", "task.limit=1", "backend=echo", "model=parrot", *STUDY[:2])
    said = sentence(ran(tmp_path, *words, MINDGAP_CACHE="/dev/null/cache"))
    assert "/dev/null/cache" in said and "export MINDGAP_CACHE=" in said


def test_a_path_with_blanks_of_200_bytes_in_any_script(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    name = "ü 雪 x" * 25
    assert len(name.encode()) == 200
    folder = tmp_path / name / "a 'b' $c"
    folder.mkdir(parents=True)
    ended = ran(folder, *STUDY, "tracker=wandb", "tracker.mode=offline", "outputs='o ü'")
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
    sweep = folder / "o ü" / "one"
    assert list(samples(sweep).values()) == list(undisturbed.values())
    assert len(list(sweep.glob("wandb/offline-run-*/*.wandb"))) == 3
    assert ran(folder, "o ü/one", module="mindgap.report").returncode == 0
    assert "24 completion" in ran(folder, "check", "o ü/store.sqlite", module="mindgap.store").stdout
