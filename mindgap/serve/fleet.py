"""Servers as processes: started, waited for, tried, and ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindgap.core.errors import UnavailableError

ENDING_SECONDS = 30
"""How long a server gets to end by itself."""
LAST_LINES = 12
"""Of a log, for the message where a server did not start."""


@dataclass(eq=False)
class Started:
    """A server's process. url: its address. log: the file that it writes to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def healthy(self) -> bool:
        """Whether it says that it can answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def why(self) -> str:
        """Why it did not start: the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if "Error" in line or "mindgap" in line][-LAST_LINES:] or lines[-LAST_LINES:]
        return "\n".join(told)


def start(url: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Started:
    """Start a server, in a session of its own: Ctrl-C reaches this process, which then ends it.

    Raises:
        UnavailableError: Its interpreter cannot be run.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                command, env=dict(environment), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise UnavailableError(f"python={command[0]} cannot be run: {error.strerror or error}") from error
    return Started(url, process, log)


def wait_for(servers: Sequence[Started], seconds: float) -> None:
    """Wait until all servers can answer.

    Raises:
        UnavailableError: One ended, or takes longer.
    """
    until = time.monotonic() + seconds
    waiting = list(servers)
    while waiting:
        for server in waiting:
            if not server.runs:
                raise UnavailableError(f"{server.url} did not start; the end of {server.log}:\n{server.why()}")
        waiting = [server for server in waiting if not server.healthy]
        if waiting and time.monotonic() > until:
            raise UnavailableError(
                f"{waiting[0].url} did not answer within {seconds:g} s (wait=); see {waiting[0].log}"
            )
        time.sleep(1)


def watch(servers: Sequence[Started]) -> None:
    """Return when no server runs any more; says when one has ended."""
    running = list(servers)
    while running:
        time.sleep(1)
        for server in [server for server in running if not server.runs]:
            running.remove(server)
            sys.stderr.write(
                f"mindgap.serve: {server.url} has ended (exit code {server.process.returncode}); see {server.log}. "
                f"{len(running)} left\n"
            )


def end(servers: Sequence[Started]) -> None:
    """End all servers: kindly first."""
    for server in servers:
        if server.runs:
            server.process.terminate()
    until = time.monotonic() + ENDING_SECONDS
    for server in servers:
        try:
            server.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
        with contextlib.suppress(ProcessLookupError):  # its workers, where it ended before they were ready to be told
            os.killpg(server.process.pid, signal.SIGKILL)
