"""Does a sweep's memory grow with its cells, or its start with its store?

    python benchmarks/memory.py [--cells 60] [--rows 200000] [--modes true false]

Sweeps through `python -m mindgap`, in processes of their own, with the endpoint and the judge of examples/extensions,
which answer at once: 10 queries x 20 items, 200 samples a cell. The parent reads the process's own memory (USS,
without pages of files) when 10 cells are finished, when all are, and its highest at any moment, reading of the results
and report included. Each mode of `together` runs once into an empty store and once into one that holds `--rows`
completions already. Then the seconds until a command that only plans (`plan=true`) has ended, and the milliseconds that
opening the store and looking up the 400 keys of a cell takes of them, the least of three each.
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

import psutil

HERE = Path(__file__).resolve().parents[1]
EXTENSIONS = HERE / "examples" / "extensions"
QUERIES = ["funny", "formal", "brief", "kind", "bold", "calm", "vivid", "plain", "witty", "stern"]
MB = 1 << 20


@dataclass(frozen=True)
class Memory:
    """Megabytes of a process when ten of its cells were finished, when all were, and the most at any moment."""

    after_ten: float
    after_all: float
    most: float
    seconds: float


def command(folder: Path, words: Sequence[str]) -> subprocess.Popen[str]:
    """A study in `folder`."""
    own = {"PYTHONPATH": os.pathsep.join([str(HERE), str(EXTENSIONS)]), "OMP_NUM_THREADS": "1"}
    chosen = ("backend=echo", "judge=keywords", "tracker=none", "model=parrot", "task=starter_open", "task.limit=20")
    queries = f"query_set.queries=[{', '.join(f'be {query}' for query in QUERIES)}]"
    return subprocess.Popen(
        [sys.executable, "-m", "mindgap", "--config-dir", str(EXTENSIONS / "conf"), *chosen, queries, *words],
        cwd=folder,
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def watched(folder: Path, cells: int, words: Sequence[str]) -> Memory:
    """Run a sweep of so many cells and watch its memory."""
    began = time.monotonic()
    study = command(folder, ["-m", f"seed=range(0,{cells})", "sweep=one", *words])
    seen: dict[int, float] = {}
    most = 0.0
    process = psutil.Process(study.pid)
    while study.poll() is None:
        try:
            now = process.memory_full_info().uss / MB
        except psutil.Error:
            break
        done = len(list((folder / "outputs" / "one").glob("*/metrics.json")))
        seen.setdefault(done, now)
        most = max(most, now)
        time.sleep(0.02)
    said, _ = study.communicate()
    if study.returncode:
        sys.exit(said)
    return Memory(next(seen[done] for done in sorted(seen) if done >= 10), seen[cells], most, time.monotonic() - began)


def started(folder: Path) -> float:
    """Seconds until a command that only plans a cell has ended."""
    began = time.monotonic()
    study = command(folder, ["plan=true", "sweep=planned"])
    said, _ = study.communicate()
    if study.returncode:
        sys.exit(said)
    return time.monotonic() - began


def opened(path: Path) -> float:
    """Seconds that opening a store and looking up what a cell asks for takes."""
    from mindgap.storage.store import Store

    began = time.monotonic()
    store = Store(path)
    store.completions(f"completion{number}" for number in range(200))
    store.judgements(f"judgement{number}" for number in range(200))
    store.close()
    return time.monotonic() - began


def fill(path: Path, rows: int) -> None:
    """A store with so many completions of others."""
    from mindgap.core.keys import content_key
    from mindgap.storage.store import Store

    value = (
        b'{"text": "' + b"word " * 120 + b'", "finish_reason": "stop", "prompt_tokens": 80, "completion_tokens": 120}'
    )

    def others() -> Iterator[tuple[str, str, bytes]]:
        for number in range(rows):
            yield content_key("filler", number=number), "completion", value

    store = Store(path)
    store.add(others())
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--modes", nargs="+", default=["true", "false"], choices=["true", "false"])
    options = parser.parse_args()
    titles = ("together", 9), ("store", 8), ("after 10", 9), (f"after {options.cells}", 9), ("growth", 7), ("most", 7)
    print(" ".join(f"{title:>{width}}" for title, width in (*titles, ("time", 7), ("plan", 8), ("of it store", 11))))
    for rows in dict.fromkeys((0, options.rows)):
        for mode in options.modes:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                fill(folder / "outputs" / "store.sqlite", rows)
                memory = watched(folder, options.cells, [f"together={mode}"])
                starts = min(started(folder) for _ in range(3))
                opens = min(opened(folder / "outputs" / "store.sqlite") for _ in range(3))
            growth = memory.after_all / memory.after_ten
            print(
                f"{mode:>9} {rows:8} {memory.after_ten:6.0f} MB {memory.after_all:6.0f} MB {growth:7.3f} "
                f"{memory.most:4.0f} MB {memory.seconds:5.0f} s{starts:6.2f} s {1000 * opens:8.1f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
