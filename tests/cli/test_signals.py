"""An interrupt ends the program with its exit code, also where what it meets makes another error of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mindgap

TURNED = """\
import os, signal
try:
    os.kill(os.getpid(), signal.{signal})
    for _ in range(10**8):
        pass
except KeyboardInterrupt as stop:
    raise {error}("this package cannot be loaded") from stop
"""


@pytest.mark.parametrize("error", ["ImportError", "SystemError"])
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupt_that_an_import_turned_into_an_error_is_one(
    number: str, code: int, error: str, tmp_path: Path
) -> None:
    (tmp_path / "turned.py").write_text(TURNED.format(signal=number, error=error))
    (tmp_path / "conf" / "judge").mkdir(parents=True)
    (tmp_path / "conf" / "judge" / "own.yaml").write_text("_target_: turned.Judge\n")
    done = subprocess.run(
        [sys.executable, "-m", "mindgap", "--config-dir", "conf", "judge=own", "tracker=none"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(mindgap.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "the same command goes on from here" in done.stderr
