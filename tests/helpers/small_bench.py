"""A bench on the small random model, for what is made on one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from mindgap.backends.local import LocalEndpoint
from mindgap.steering.bench import SteeringBench
from mindgap.storage.store import Store


def small_bench(small_model: SimpleNamespace, folder: Path) -> SteeringBench:
    """Without an SAE, with a store of its own in `folder`."""
    from mindgap.backends.local.engine import Engine

    engine = Engine(small_model.model, small_model.tokenizer, max_rows=8)
    return SteeringBench(LocalEndpoint(engine, "local/small"), Store(folder / "store.sqlite"), 0)
