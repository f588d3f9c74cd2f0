"""A folder or a store that cannot be written ends a study with one sentence, before anything is spent or left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A plain file, under which nobody, not even root, can make a folder."""
    path = tmp_path / "file"
    path.write_text("")
    return path


@pytest.mark.parametrize("setting", ["outputs", "store"])
def test_what_cannot_be_written_is_said_in_one_sentence(setting: str, file: Path, tmp_path: Path) -> None:
    below = {"outputs": tmp_path / "outputs", "store": tmp_path / "store.sqlite", setting: file / "below"}
    settings = [f"{name}={path}" for name, path in below.items()]
    command = [sys.executable, "-m", "mindgap", "method=control", "judge=proxy", "tracker=none", *settings]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert ended.returncode == 2
    message = ended.stderr.strip().splitlines()
    assert len(message) == 1 and message[0].startswith("mindgap: ") and str(file) in message[0], ended.stderr
    assert f"{setting}=" in message[0]
    assert not list(tmp_path.rglob("samples.parquet")) and not list(tmp_path.rglob(".running"))
