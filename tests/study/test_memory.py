"""A sweep takes as much memory at its last cell as at its tenth, and a store of any size takes none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

OPEN = """
import sys
from pathlib import Path
import psutil
from mindgap.storage.store import Store
store = Store(Path(sys.argv[1]))
before = psutil.Process().memory_full_info().uss
store.close()
for _ in range(20):
    store = Store(Path(sys.argv[1]))
    assert len(store.completions(sys.argv[2:])) == len(sys.argv[2:])
    store.close()
print((psutil.Process().memory_full_info().uss - before) / 2**20)
"""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """`benchmarks/memory.py`, which measures the same at full size."""
    program = Path(__file__).resolve().parents[2] / "benchmarks" / "memory.py"
    if not program.is_file():
        pytest.skip("benchmarks are not here")
    spec = importlib.util.spec_from_file_location("memory_benchmark", program)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_memory_is_flat_over_the_cells_of_a_sweep(benchmark: ModuleType, tmp_path: Path) -> None:
    memory = benchmark.watched(tmp_path, 40, ["task.limit=2", "resamples=100"])
    print(memory)  # noqa: T201
    assert memory.after_all - memory.after_ten < 3, "megabytes; what Hydra keeps of 30 jobs is 5"


def test_a_large_store_is_not_read(benchmark: ModuleType, tmp_path: Path) -> None:
    from mindgap.core.keys import content_key

    benchmark.fill(tmp_path / "store.sqlite", 200_000)
    keys = [content_key("filler", number=number) for number in range(0, 200_000, 1000)]
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path / "store.sqlite"), *keys], capture_output=True, text=True, check=True
    )
    assert (tmp_path / "store.sqlite").stat().st_size > 100 << 20
    assert float(ended.stdout) < 10, "megabytes"
