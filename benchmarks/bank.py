"""Makes the bank of other behaviours that travels with the package: `mindgap/data/banks.npz`, for `model=tiny`.

python benchmarks/bank.py            # minutes; again after any change of what names a bank (`bank_key`)
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.steering.bench import SteeringBench
from mindgap.steering.specific import bank, bank_key
from mindgap.storage.store import Store

FILE = Path(__file__).parents[1] / "mindgap" / "data" / "banks.npz"


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    node = composed(["model=tiny", "backend=local"], config_folder())
    endpoint = build(node["backend"], "backend").open(build(node["model"], "model"))
    store = Path("outputs/bank/store.sqlite")
    store.parent.mkdir(parents=True, exist_ok=True)
    bench = SteeringBench(endpoint, Store(store), 0)
    layer = endpoint.sae_layer
    means = bank(layer, bench)
    np.savez(FILE, **{bank_key(layer, bench): np.stack([means.residual, means.gradient])})  # type: ignore[arg-type]
    print(f"{FILE}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
