"""Processes of their own for W&B's client, which keeps state: a home of its own, and only the settings of the test."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindgap

KEY = "0123456789abcdef0123456789abcdef01234567"
TRACKED_CELLS = Path(__file__).with_name("tracked_cells.py")


@dataclass(frozen=True)
class Logging:
    """A process that logs cells. `steps` waits for its end and returns what it said of each."""

    process: subprocess.Popen[str]

    def steps(self) -> list[dict[str, Any]]:
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        assert err == "", "the client is not quiet"
        return [json.loads(line) for line in out.splitlines()]


def start(sweep: Path, steps: list[dict[str, Any]], environment: Mapping[str, str]) -> Logging:
    """Log the cells that `steps` describe (see `tracked_cells.py`)."""
    return Logging(spawn(sweep, [str(TRACKED_CELLS), str(sweep), json.dumps(steps)], environment))


def spawn(sweep: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start Python beside `sweep`, with a home of its own and no W&B settings but those in `environment`."""
    sweep.mkdir(parents=True, exist_ok=True)
    elsewhere = sweep.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    inherited = {name: value for name, value in inherited.items() if not name.lower().endswith("_proxy")}
    inherited["PYTHONPATH"] = str(Path(mindgap.__file__).parents[1])
    own = {"HOME": str(sweep.parent / "home"), "NETRC": str(sweep.parent / "no-netrc")}
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**inherited, **own, **environment},
        cwd=elsewhere,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
