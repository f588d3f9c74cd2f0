"""Real vLLM servers on the CPU, started by `python -m mindgap.serve` in the environment of MINDGAP_VLLM_PYTHON."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

VARIABLE = "MINDGAP_VLLM_PYTHON"
PRESSED = "--max-num-batched-tokens 64 --max-model-len 704 --block-size 32 --num-gpu-blocks-override 24"
"""Prompts are read in pieces, and so little memory that requests are preempted and read anew."""


NEEDS_VLLM = pytest.mark.skipif(
    not os.environ.get(VARIABLE), reason=f"{VARIABLE} names no Python with vLLM: make test-vllm sets one up"
)
STARTS_SERVERS = [pytest.mark.vllm, NEEDS_VLLM]
"""Marks of tests that start servers."""


@dataclass(frozen=True)
class Fleet:
    """Servers of one command. processes: their ids, each that of its own group."""

    urls: tuple[str, ...]
    processes: tuple[int, ...]

    @property
    def setting(self) -> str:
        return f"backend.urls=[{','.join(self.urls)}]"


def free_port(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
        try:
            for number in range(count):
                socket.create_server(("127.0.0.1", port + number)).close()
        except OSError:
            continue
        return port


@contextmanager
def serving(*settings: str, replicas: int = 1) -> Iterator[Fleet]:
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "stderr"
        command = [sys.executable, "-m", "mindgap.serve", "model=tiny", f"port={free_port(replicas)}"]
        command += [f"replicas={replicas}", f"logs={folder}", "wait=1200", *settings]
        with told.open("wb") as stderr:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True)
        try:
            line = server.stdout.readline()  # the setting by which a study finds them; nothing if they did not start
            said = told.read_text()
            assert "backend.urls" in line, said
            processes = tuple(map(int, re.findall(r"\(process (\d+)\)", said)))
            yield Fleet(tuple(re.search(r"\[(.*)\]", line)[1].split(",")), processes)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
            server.stdout.close()
