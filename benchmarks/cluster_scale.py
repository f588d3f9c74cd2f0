"""What does mindgap itself cost a sweep of a cluster's size: per sample, in memory, for a plan and for the report?

    python benchmarks/cluster_scale.py [--cells 50] [--queries 14] [--items 171] [--again]

Sweeps through `python -m mindgap` with a model and a judge that answer at once (in the same process, no network): a
control and a random direction 4,096 wide at many doses, each with two seeds. A parent process reads the times and the
memory (USS) of each phase: a plan (`plan=true`) of all cells; all answers, by `together=true`; the cells; and the end,
where all samples are read and compared. `--again`: the same command once more, which finds everything in the store.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from mindgap.backends.base import Capability
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, Message, OptionScores, OptionsRequest, Request

HERE = Path(__file__).resolve().parents[1]
EXTENSIONS = HERE / "examples" / "extensions"
MB = 1 << 20
CAN: frozenset[Capability] = frozenset({"generate", "residual"})
REPLY = "It is a sum of two numbers, and whoever adds them finds that it comes to {number}. " * 4
Text = tuple[tuple[Message, ...], str]


@dataclass(frozen=True)
class Instant:
    """Backend and endpoint in one: a model as wide as one of 8B, whose answers are there at once."""

    name: str = "instant"
    identity: str = "instant"
    can: frozenset[Capability] = CAN
    layers: int = 32
    d_model: int = 4096

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        return [str(need) for need in sorted(needs - CAN)]

    def open(self, model: ModelSpec) -> Instant:
        return self

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for index, request in enumerate(requests):
            yield index, Completion(REPLY.format(number=request.seed % 41), "stop", 80, 60)

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        raise NotImplementedError("it says that it cannot")

    def residuals(self, texts: Sequence[Text], layer: int) -> np.ndarray:
        return np.ones((len(texts), self.d_model), dtype=np.float32)

    def residual_norms(self, texts: Sequence[Text], layer: int) -> np.ndarray:
        return np.full(16, 10.0, dtype=np.float32)

    def likelihood_gradients(self, texts: Sequence[Text], layer: int) -> np.ndarray:
        return np.ones((len(texts), self.d_model), dtype=np.float32)


@dataclass(frozen=True)
class Phase:
    """Seconds of a phase, by the clock and of a processor, and megabytes at its end and at most."""

    seconds: float
    processor: float
    at_end: float
    most: float


def command(folder: Path, cells: int, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """A study of so many cells in `folder`; what it says goes to a file there."""
    own = {"PYTHONPATH": os.pathsep.join(map(str, [HERE, HERE / "benchmarks", EXTENSIONS])), "OMP_NUM_THREADS": "1"}
    doses = ",".join(f"{0.01 * (1 + number):g}" for number in range(cells // 2 - 1))
    settings = ["backend=echo", "backend._target_=cluster_scale.Instant", "judge=keywords", "tracker=none"]
    settings += ["model=parrot", "task=sums", "strength=dose"]
    settings += ["method=control,random", f"strength.dose={doses}", "seed=0,1", "sweep=large"]
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "mindgap", "--config-dir", str(EXTENSIONS / "conf"), "-m", *settings, *words],
            cwd=folder,
            env={**os.environ, **own},
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def watched(folder: Path, cells: int, words: Sequence[str]) -> list[Phase]:
    """Run a sweep and watch it: what comes before the first cell is finished, the cells, and the end."""
    files = folder / "outputs" / "large"
    began = {path: path.stat().st_mtime_ns for path in files.glob("*/metrics.json")}
    study = command(folder, cells, words)
    process = psutil.Process(study.pid)
    phases: list[Phase] = []
    since, used, spent, now, most = time.monotonic(), 0.0, 0.0, 0.0, 0.0
    while study.poll() is None:
        try:
            now = process.memory_full_info().uss / MB
            spent = sum(process.cpu_times()[:2])
        except psutil.Error:
            break
        most = max(most, now)
        written = [path for path in files.glob("*/metrics.json") if path.stat().st_mtime_ns != began.get(path)]
        if len(phases) < 2 and len(written) >= (1, cells)[len(phases)]:
            phases.append(Phase(time.monotonic() - since, spent - used, now, most))
            since, used, most = time.monotonic(), spent, 0.0
        time.sleep(0.2)
    phases.append(Phase(time.monotonic() - since, spent - used, now, most))
    if study.wait():
        sys.exit((folder / "said").read_text()[-3000:])
    return phases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cells", type=int, default=50, help="an even number, at least 4")
    parser.add_argument("--queries", type=int, default=14)
    parser.add_argument("--items", type=int, default=171)
    parser.add_argument("--again", action="store_true", help="once more, with everything in the store")
    parser.add_argument("words", nargs="*", help="further settings of the sweep")
    options = parser.parse_args()
    queries = ", ".join(f"be of mood {number}" for number in range(options.queries))
    words = [f"query_set.queries=[{queries}]", f"task.limit={options.items}", *options.words]
    samples = options.cells * options.queries * options.items
    print(f"{options.cells} cells x {options.queries * options.items:,} samples = {samples:,}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (plan,) = watched(folder, options.cells, ["plan=true", *words])
        print(f"{'plan':14} {plan.seconds:7.1f} s, {plan.processor:7.1f} s of a processor {plan.most:20.0f} MB at most")
        for title in ["first", "again"][: 1 + options.again]:
            for phase, what in zip(watched(folder, options.cells, words), ("answers", "cells", "end"), strict=True):
                each = 1000 * phase.processor / samples
                print(
                    f"{title:5} {what:8} {phase.seconds:7.1f} s, {phase.processor:7.1f} s of a processor, "
                    f"{each:6.3f} ms a sample; {phase.at_end:5.0f} MB, {phase.most:5.0f} MB at most",
                    flush=True,
                )
        store = folder / "outputs" / "store.sqlite"
        files = sum(path.stat().st_size for path in (folder / "outputs" / "large").rglob("*") if path.is_file())
        print(f"store {store.stat().st_size / MB:.0f} MB, the sweep's files {files / MB:.0f} MB")


if __name__ == "__main__":
    main()
