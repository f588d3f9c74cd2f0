"""SIGKILL at any moment loses what was in flight and no more; the same command then ends as if nothing had been.

A study through the real clients: a model and a judge behind a server on loopback, which counts what it is asked.
`MINDGAP_KILLS` says how many kills; `make chaos` takes 1,000. Most of a short study is imports: nine of ten rounds are
forked from a process that has made them, so that kills fall on what comes after; the tenth starts as a user does.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer, Reply

import mindgap

KILLS = int(os.environ.get("MINDGAP_KILLS", "10"))
CONCURRENCY = 4
BEYOND = CONCURRENCY + max(1, CONCURRENCY // 8) + 1
"""Calls that a kill may waste: those under way, and results that waited to be saved."""
VOLATILE = ("seconds", "made", "cached", "count_made", "count_cached", "headline")
"""What depends on how long it took and how much was known before; a headline says how long a reply takes."""

COLD = 10
"""Of so many rounds one imports all by itself."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]


@pytest.fixture(scope="module", autouse=True)
def stopped() -> Iterator[None]:
    """No server of forks is left behind."""
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def answer(body: dict[str, Any]) -> Reply:
    """A reply that depends on the request alone."""
    digest = hashlib.sha256(json.dumps(body["messages"]).encode()).digest()
    if "response_format" in body:
        scores = {"analysis": "x", "behaviour": 1 + digest[0] % 5, "coherence": 1 + digest[1] % 5}
        return Reply(json.dumps(scores), delay=0.02)
    return Reply(f"Reply {digest.hex()}", delay=0.02)


@pytest.fixture
def server(chat_server: ChatServer) -> ChatServer:
    chat_server.answer = answer
    return chat_server


def command(server: ChatServer, tracker: str) -> list[str]:
    return [
        *(sys.executable, "-m", "mindgap", "-m", "method=control,prompt", "model.litellm_id=openai/some"),
        *("backend=litellm", f"backend.api_base={server.url}", "backend.key_env=null"),
        *("judge=llm", f"judge.api_base={server.url}", "judge.key_env=null", "judge.model=openai/judge"),
        *(f"backend.concurrency={CONCURRENCY}", f"judge.concurrency={CONCURRENCY}", "judge.top_logprobs=0"),
        *("task=starter_open", "task.limit=8", "query_set=quick", "sweep=one", "resamples=200", f"tracker={tracker}"),
    ]


def start(folder: Path, server: ChatServer, tracker: str = "none") -> subprocess.Popen[str]:
    """The study, in a process group of its own; what it prints goes to `printed`."""
    with (folder / "printed").open("w") as printed:
        return subprocess.Popen(
            command(server, tracker),
            cwd=folder,
            env=environment(),
            stdout=printed,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**kept, "PYTHONPATH": str(Path(mindgap.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


class Forked:
    """A study that begins where its imports are made; used like what `start` returns."""

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["study_imports"])

    def __init__(self, folder: Path, server: ChatServer, tracker: str = "none") -> None:
        self._process = self.context.Process(target=_be_study, args=(folder, command(server, tracker), environment()))
        self._process.start()
        self.pid, self.kill = self._process.pid or 0, self._process.kill

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("the study", timeout or 0.0)
        return self._process.exitcode


def _be_study(folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
    """What `start` does, in this process."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ |= environment
    printed = os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.argv = arguments[2:]
    runpy.run_module("mindgap", run_name="__main__", alter_sys=True)


Start = Callable[[Path, ChatServer, str], subprocess.Popen[str] | Forked]


def finish(folder: Path, server: ChatServer, tracker: str = "none", start: Start = start) -> float:
    """Run the study to its end; the seconds that took."""
    began = time.monotonic()
    code = start(folder, server, tracker).wait(300)
    printed = (folder / "printed").read_text()
    assert code == 0, printed
    assert "Traceback" not in printed, printed
    return time.monotonic() - began


def lasting(node: Any) -> Any:
    """A document without what `VOLATILE` names, at any depth."""
    if isinstance(node, dict):
        return {name: lasting(value) for name, value in node.items() if name not in VOLATILE}
    return [lasting(entry) for entry in node] if isinstance(node, list) else node


def left(folder: Path) -> dict[str, Any]:
    """All that a sweep found, without how long it took and how much was known before."""
    sweep = folder / "outputs" / "one"
    found: dict[str, Any] = {}
    for cell in sorted(sweep.glob("*/metrics.json")):
        found[cell.parent.name] = (
            lasting(json.loads(cell.read_text())),
            pq.read_table(cell.parent / "samples.parquet").to_pylist(),
        )
    found["comparison"] = lasting(json.loads((sweep / "comparison.json").read_text()))
    assert (sweep / "report.html").stat().st_size > 10_000
    assert len((sweep / "summary.csv").read_text().splitlines()) == 3
    return found


def asked(server: ChatServer) -> Counter[str]:
    return Counter(json.dumps(body, sort_keys=True) for body, _ in server.asked)


def litter(folder: Path) -> list[str]:
    """Claims and unfinished files."""
    return [
        str(path.relative_to(folder))
        for path in (folder / "outputs").rglob("*")
        if "wandb" not in path.parts and (path.name in (".running", ".together.json") or path.suffix == ".tmp")
    ]


def test_killed_at_random_moments_a_study_ends_as_if_it_had_not_been(tmp_path: Path, server: ChatServer) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    longest = {start: finish(undisturbed, server)}
    expected, requests = left(undisturbed), asked(server)
    assert set(requests.values()) == {1}, "nothing is asked twice"
    for _ in range(2):  # the first waits for the imports
        shutil.rmtree(undisturbed / "outputs")
        longest[Forked] = finish(undisturbed, server, start=Forked)
    assert left(undisturbed) == expected
    draw, killed, rounds = random.Random(KILLS), 0, 0
    while killed < KILLS:
        folder = tmp_path / f"round{rounds}"
        folder.mkdir()
        server.asked.clear()
        tracker = "wandb" if rounds % 5 == 4 else "none"
        begin: Start = Forked if rounds % COLD else start
        kills = 0
        for _ in range(draw.randint(1, 9)):
            process = begin(folder, server, tracker)
            wait = draw.uniform(0.1, longest[begin] * (1.6 if tracker == "wandb" else 1.1))
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                kills += 1
                if draw.random() < 0.5 and os.getpgid(process.pid) == process.pid:  # or it has barely begun
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            process.wait()
        finish(folder, server, tracker, begin)
        said = f"round {rounds}, {kills} kills, tracker={tracker}"
        assert left(folder) == expected, said
        assert litter(folder) == [], said
        again = asked(server)
        assert again.keys() == requests.keys(), said
        assert again.total() - len(requests) <= kills * BEYOND, said
        shutil.rmtree(folder)
        killed, rounds = killed + kills, rounds + 1
        print(f"{killed} kills in {rounds} rounds", flush=True)  # noqa: T201


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_has_its_exit_code_at_every_moment(
    tmp_path: Path, server: ChatServer, number: signal.Signals, code: int
) -> None:
    longest = finish(tmp_path, server)
    expected = left(tmp_path)
    draw = random.Random(number)
    for _ in range(max(3, KILLS // 10)):
        shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
        process = start(tmp_path, server)
        time.sleep(draw.uniform(0.5, longest * 0.95))  # before that, Python itself is still starting
        process.send_signal(number)
        assert process.wait(60) in (code, 0), (tmp_path / "printed").read_text()
        printed = (tmp_path / "printed").read_text()
        assert "Traceback" not in printed, printed
        if process.returncode == code:
            assert "the same command goes on from here" in printed
    finish(tmp_path, server)
    assert left(tmp_path) == expected
