"""A folder made once: complete or absent, whoever is killed, whoever comes second, whatever happens to a file."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mindgap.storage.prepared import MANIFEST, DamagedError, check, prepare

CONTENT = {"weights.bin": "0123456789" * 1000, "settings.json": "{}"}

PROCESS = """
import logging, sys, time
from pathlib import Path
from mindgap.storage.prepared import prepare

logging.basicConfig(stream=sys.stdout, format="%(message)s")
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])

def build(into):
    (into / "half").write_text("0123456789" * 1000)
    print("building", flush=True)
    time.sleep(seconds)
    (into / "half").rename(into / "weights.bin")
    (into / "settings.json").write_text("{}")

print(sorted(prepare(folder, "source", build)))
"""


def build(into: Path) -> None:
    for name, text in CONTENT.items():
        (into / name).write_text(text)


def refuse(into: Path) -> None:
    raise AssertionError("built again")


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, str(folder), str(seconds)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == line


def test_an_intact_folder_is_not_built_again(tmp_path: Path) -> None:
    first = prepare(tmp_path / "model", "source", build)
    assert set(first) == set(CONTENT)
    assert prepare(tmp_path / "model", "source", refuse) == first


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("weights.bin", lambda path: os.truncate(path, 4000)),
        ("weights.bin", lambda path: path.unlink()),
        ("settings.json", lambda path: path.write_text("[]")),
        (MANIFEST, lambda path: path.write_text('{"source":')),
        (MANIFEST, lambda path: path.unlink()),
    ],
)
def test_a_damaged_folder_is_built_anew_and_said_so(tmp_path, caplog, file, damage) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "model"
    whole = prepare(folder, "source", build)
    damage(folder / file)
    with pytest.raises(DamagedError, match=file):
        check(folder, "source")
    with caplog.at_level(logging.WARNING):
        assert prepare(folder, "source", build) == whole
    assert file in caplog.text
    assert check(folder, "source") == whole


def test_one_changed_byte_is_noticed_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    prepare(folder, "source", build)
    weights = folder / "weights.bin"
    before = weights.stat()
    weights.write_text("1" + CONTENT["weights.bin"][1:])
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DamagedError, match=r"weights\.bin"):
        check(folder, "source")


def test_another_source_means_another_folder_content(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    prepare(folder, "old", lambda into: (into / "only_old").touch())
    assert set(prepare(folder, "new", build)) == set(CONTENT)
    assert not (folder / "only_old").exists()


def test_a_build_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    prepare(folder, "old", build)

    def fail(into: Path) -> None:
        (into / "weights.bin").write_text("half")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        prepare(folder, "new", fail)
    assert set(check(folder, "old")) == set(CONTENT)
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "model.lock"}


def test_a_process_killed_while_it_builds_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    killed = start(folder, 60)
    wait_for(killed, "building")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not folder.exists()
    assert list(tmp_path.glob("model.unfinished-*"))
    assert set(prepare(folder, "source", build)) == set(CONTENT)
    assert not list(tmp_path.glob("model.unfinished-*"))


def test_of_two_processes_at_once_one_builds_and_the_other_waits_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    first = start(folder, 3)
    wait_for(first, "building")
    second = start(folder, 0)
    said, _ = second.communicate(timeout=60)
    assert "waiting for it" in said
    assert "building" not in said
    names = str(sorted(CONTENT))
    assert said.splitlines()[-1] == first.communicate()[0].splitlines()[-1] == names
