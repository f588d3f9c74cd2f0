"""Samples per second of mindgap's local engine beside other tools that steer, on the same work.

    python benchmarks/peers.py [--items 6] [--tokens 64] [--threads 2] [--rounds 3] [--peers transformers,repeng]

The work has the shape of the paper's: 14 queries × `--items` starter questions × control, prompt and a vector at two
doses; SmolLM2-135M in float32, greedy, real stopping. Control does not depend on the query, and a study would ask it
once; here everybody answers it for every query. Every tool adds the same vectors to the output of the same block at all
positions, so the texts should be mindgap's; float32 rounds otherwise in other batches, and a near tie may then fall the
other way. A second, smaller work scores four options of every question by log-likelihood.

Each peer is a small program in `benchmarks/peers/`, run in a process of its own; what is not mindgap's or transformers
has an environment of its own, under `--scratch`, with the versions of constraints.txt. Loading is not timed, changing
the steering is. Rounds go through all peers in turn, and the median round counts. A peer that cannot be installed or
fails is a row that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "benchmarks" / "peers"
NEAR = 1e-3
"""Log-likelihoods that differ by less, in nats, agree."""


@dataclass(frozen=True)
class Peer:
    """A way of doing the work.

    Attributes:
        name: In the table, and for `--peers`.
        program: File in `benchmarks/peers/`.
        installs: Arguments of one `pip install` after the other; none = it runs in mindgap's environment. Tools that
            ask for older packages than mindgap has are installed without what they ask for, and with what they need.
        work: `requests` or `options`.
    """

    name: str
    program: str
    installs: tuple[tuple[str, ...], ...] = ()
    work: str = "requests"


REPENG = (("torch",), ("transformers", "scikit-learn", "gguf"), ("--no-deps", "repeng==0.4.0", "numpy==1.26.4"))
AISTEER360 = "git+https://github.com/IBM/AISteer360@1d7c843"
"""Version 0.3.0, which is on no package index; `--aisteer360` names a copy."""
PEERS = (
    Peer("mindgap", "run_mindgap.py"),
    Peer("transformers", "run_transformers.py"),
    Peer("transformers by row", "run_transformers_rows.py"),
    Peer(
        "steering-vectors 0.12.2",
        "run_steering_vectors.py",
        (("torch",), ("transformers", "scikit-learn"), ("--no-deps", "steering-vectors==0.12.2")),
    ),
    Peer("repeng 0.4.0", "run_repeng.py", REPENG),
    Peer("repeng 0.4.0 by row", "run_repeng_rows.py", REPENG),
    Peer(
        "AISteer360 0.3.0",
        "run_aisteer360.py",
        (("torch",), ("transformers", "accelerate", "scikit-learn"), ("--no-deps", AISTEER360)),
    ),
    Peer("mindgap options", "run_mindgap.py", work="options"),
    Peer(
        "lm-eval 0.4.13 steered",
        "run_lm_eval.py",
        (("torch",), ("transformers", "accelerate", "lm-eval==0.4.13")),
        work="options",
    ),
)
FIRST = ("mindgap", "mindgap options")
"""What the others are compared with."""

Result = Mapping[str, Any]
"""What a program wrote: `seconds`, `cpu_seconds`, `samples`, `peak_mb`, and `tokens` and `texts` or `scores`."""


class FailedError(Exception):
    """A peer that could not do its work, with the reason in a line."""


def chosen(names: str) -> list[Peer]:
    """The peers whose names begin with one of `names`, given with commas; and those that they are compared with.

    Raises:
        SystemExit: For a name that none begins with.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in asked if not any(peer.name.startswith(name) for peer in PEERS)]:
        raise SystemExit(f"--peers={unknown[0]}: choose from {'; '.join(peer.name for peer in PEERS)}")
    some = [peer for peer in PEERS if not asked or any(peer.name.startswith(name) for name in asked)]
    works = {peer.work for peer in some}
    return [peer for peer in PEERS if peer in some or (peer.name in FIRST and peer.work in works)]


def installed_from(peer: Peer, source: str) -> Peer:
    """The peer, with AISteer360 from another source."""
    steps = (tuple(source if argument == AISTEER360 else argument for argument in step) for step in peer.installs)
    return replace(peer, installs=tuple(steps))


def python_of(peer: Peer, scratch: Path, say: Any) -> Path:
    """The interpreter that runs a peer, whose environment is made first where it is not there.

    Raises:
        FailedError: It cannot be made.
    """
    if not peer.installs:
        return Path(sys.executable)
    folder = scratch / "venvs" / Path(peer.program).stem.removeprefix("run_").removesuffix("_rows")
    done, python = folder / "installed.json", folder / "bin" / "python"
    wanted = json.dumps(peer.installs)
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    say(f"{peer.name}: installing into {folder}")
    _run([sys.executable, "-m", "venv", str(folder)])
    for arguments in peer.installs:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pins = [] if "--no-deps" in arguments else ["--constraint", str(ROOT / "constraints.txt")]
        _run([*pip, *pins, *arguments])
    done.write_text(wanted, encoding="utf-8")
    return python


def _run(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run a command. Raises FailedError with what it said of its failure."""
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode < 0:
        raise FailedError(f"it was ended by signal {-done.returncode}; did memory run out?")
    if done.returncode:
        raise FailedError(reason_of(done.stderr) or f"{Path(command[1]).name} ended with {done.returncode}")


def reason_of(errors: str) -> str:
    """The last line that names an error or, where none does, the last line; empty where there is none."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("WARNING", "note:", "error: subprocess-exited-with-error"))]
    named = [line for line in lines if re.match(r"fatal:|error:|[\w.]*(Error|Exception)\b", line, re.IGNORECASE)]
    return (named or lines or [""])[-1][:160]


def run(peer: Peer, python: Path, work: Path, threads: int) -> Result:
    """Have a peer do the work once.

    Raises:
        FailedError: It did not.
    """
    into = work.with_name(f"{peer.work}-result.json")
    into.unlink(missing_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": "" if peer.installs else str(ROOT)}
    _run([str(python), str(PROGRAMS / peer.program), str(work), str(into)], env)
    found: Result = json.loads(into.read_text(encoding="utf-8"))
    return found


def middle(rounds: Sequence[Result]) -> Result:
    """The first round's answers, with the medians of the rounds' times and the largest of their memories."""
    times = {name: median(some[name] for some in rounds) for name in ("seconds", "cpu_seconds")}
    return {**rounds[0], **times, "peak_mb": max(some["peak_mb"] for some in rounds)}


def same_texts(one: Sequence[str], other: Sequence[str]) -> int:
    """How many texts agree, letter by letter."""
    return sum(a == b for a, b in zip(one, other, strict=True))


def same_scores(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> int:
    """How many options have the same log-likelihood, up to `NEAR`."""
    pairs = [(a, b) for some, others in zip(one, other, strict=True) for a, b in zip(some, others, strict=True)]
    return sum(abs(a - b) < NEAR for a, b in pairs)


def table(results: Mapping[str, Result | str]) -> list[str]:
    """Lines of the table, of one kind of work, by the names of peers; a text is why there is no result.

    The ratio is the first result's samples per second over the line's own.
    """
    first = next(iter(results.values()))
    scored = any("scores" in result for result in results.values() if not isinstance(result, str))
    head = f"{'':30}{'options/s' if scored else 'samples/s':>10}"
    head += "" if scored else f"{'tokens/s':>10}"
    lines = [head + f"{'CPU s':>8}{'peak MB':>9}{'ratio':>7}{'agree':>11}"]
    for name, result in results.items():
        if isinstance(result, str):
            lines.append(f"{name:30}  {result}")
            continue
        speed = result["samples"] / result["seconds"]
        line = f"{name:30}{speed:10.2f}"
        line += "" if scored else f"{result['tokens'] / result['seconds']:10.1f}"
        line += f"{result['cpu_seconds']:8.0f}{result['peak_mb']:9.0f}"
        if not isinstance(first, str):
            same = (
                same_scores(first["scores"], result["scores"])
                if scored
                else same_texts(first["texts"], result["texts"])
            )
            of_all = f"{same}/{result['samples']}"
            line += f"{first['samples'] / first['seconds'] / speed:7.2f}{of_all:>11}"
        lines.append(line)
    return lines


def compare(peers: Sequence[Peer], work: Path, scratch: Path, threads: int, rounds: int) -> dict[str, Result | str]:
    """Every peer's result, or why it has none."""
    pythons: dict[Peer, Path] = {}
    failed: dict[Peer, str] = {}
    found: dict[Peer, list[Result]] = {peer: [] for peer in peers}
    for peer in peers:
        try:
            pythons[peer] = python_of(peer, scratch, _say)
        except FailedError as error:
            failed[peer] = f"cannot be installed: {error}"
            _say(f"{peer.name}: {failed[peer]}")
    for number in range(rounds):
        for peer in peers:
            if peer in failed:
                continue
            try:
                found[peer].append(run(peer, pythons[peer], work, threads))
            except FailedError as error:
                failed[peer] = f"fails: {error}"
            said = failed.get(peer) or f"{found[peer][-1]['seconds']:.1f} s"
            _say(f"round {number + 1} of {rounds}, {peer.name}: {said}")
    return {peer.name: failed.get(peer) or middle(found[peer]) for peer in peers}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=6, help="questions for each query")
    parser.add_argument("--tokens", type=int, default=64, help="of the longest reply")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=64, help="most prompts in one batch")
    parser.add_argument("--peers", default="", help="those whose names begin so, with commas; all where empty")
    parser.add_argument("--aisteer360", default=AISTEER360, help="what pip installs it from, such as a folder")
    parser.add_argument("--scratch", type=Path, default=Path("outputs/peers"), help="for environments and results")
    given = parser.parse_args()
    peers = [installed_from(peer, given.aisteer360) for peer in chosen(given.peers)]
    scratch = given.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    work = scratch / "work.json"
    settings = {"items": given.items, "max_tokens": given.tokens, "rows": given.rows, "threads": given.threads}
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        _run([sys.executable, str(PROGRAMS / "make_work.py"), str(work), json.dumps(settings)], env)
    except FailedError as error:
        raise SystemExit(f"the work cannot be made: {error}") from error
    results = compare(peers, work, scratch, given.threads, given.rounds)
    whole = json.loads(work.read_text(encoding="utf-8"))
    said = (
        f"{given.threads} threads, median of {given.rounds} rounds" if given.rounds > 1 else f"{given.threads} threads"
    )
    for kind, what in (
        ("requests", f"{len(whole['requests'])} requests, at most {given.tokens} tokens each, {said}"),
        ("options", f"{sum(len(some['options']) for some in whole['options'])} options, {said}"),
    ):
        if some := {peer.name: results[peer.name] for peer in peers if peer.work == kind}:
            print("\n".join([what, *table(some), ""]))


if __name__ == "__main__":
    main()
