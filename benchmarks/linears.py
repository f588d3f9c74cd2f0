"""How fast this CPU multiplies matrices of the embedded model's shapes: torch's own product, and oneDNN's with the
weights packed beforehand.

    python benchmarks/linears.py [--threads 1] [--times 20]

The first column is what the local engine reaches at most, as long as it leaves linear layers to torch; the second what
packed weights would change. GFLOP/s of the best of `--times` products; rows are tokens of a pass: 64 in decoding a full
batch, some thousands in reading prompts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

SHAPES = {"q, o": (576, 576), "k, v": (192, 576), "gate, up": (1536, 576), "down": (576, 1536), "head": (49152, 576)}
ROWS = (1, 8, 64, 256, 2048)
MOST = 64 * 49152
"""Most numbers that a product may have."""


def gflops(product: Callable[[], torch.Tensor], operations: float, times: int) -> float:
    product()
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - began)
    return operations / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {given.threads} threads")
    print(f"{'rows':>5}  {'layer':10}{'torch':>8}{'packed':>8}{'ratio':>7}  largest difference")
    with torch.inference_mode():
        for rows in ROWS:
            for layer, (outputs, inputs) in SHAPES.items():
                if rows * outputs > MOST:
                    continue
                weight, x = torch.randn(outputs, inputs), torch.randn(rows, inputs)
                packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)

                def plain(x: torch.Tensor = x, weight: torch.Tensor = weight) -> torch.Tensor:
                    return torch.nn.functional.linear(x, weight)

                def by_packed(x: torch.Tensor = x, packed: torch.Tensor = packed) -> torch.Tensor:
                    return torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")

                operations = 2.0 * rows * outputs * inputs
                own, other = (gflops(product, operations, given.times) for product in (plain, by_packed))
                difference = float((plain() - by_packed()).abs().max())
                print(f"{rows:5}  {layer:10}{own:8.0f}{other:8.0f}{other / own:7.2f}  {difference:.0e}")


if __name__ == "__main__":
    main()
