"""How fast this CPU multiplies matrices of the embedded model's shapes: torch's own product, oneDNN's with the weights
packed beforehand, and two that round more: bfloat16, and weights and inputs in 8 bits.

    python benchmarks/linears.py [--threads 1] [--times 20]

The local engine packs a layer where the second is faster than the first (mindgap/backends/local/packed_linear.py).
GFLOP/s of the best of `--times` products, which take turns; rows are tokens of a pass: 64 in decoding a full batch,
some thousands in reading prompts. Behind them how far a product is from torch's own, as the norm of the difference over
the norm of the product.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable, Mapping

import torch

from mindgap.backends.local.packed_linear import PackedLinear

SHAPES = {"q, o": (576, 576), "k, v": (192, 576), "gate, up": (1536, 576), "down": (576, 1536), "head": (49152, 576)}
ROWS = (1, 8, 64, 256, 2048)
MOST = 64 * 49152
"""Most numbers that a product may have."""


Product = Callable[[], torch.Tensor]


def layer_of(outputs: int, inputs: int) -> torch.nn.Linear:
    """A layer with random weights, whose products are about as large as what goes in."""
    layer = torch.nn.Linear(inputs, outputs, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.randn(outputs, inputs) / inputs**0.5)
    return layer


def exact_ways(layer: torch.nn.Linear, x: torch.Tensor) -> dict[str, Product]:
    """The layer's product in float32: as torch does it, and with packed weights."""
    packed = PackedLinear(layer)
    return {"torch": lambda: layer(x), "packed": lambda: packed(x)}


def rounded_ways(layer: torch.nn.Linear, x: torch.Tensor) -> dict[str, Product]:
    """The product in bfloat16; and in 8 bits, a scale for each output, inputs put into 8 bits in every product."""
    from torch.ao.nn.quantized.dynamic import Linear
    from torch.ao.quantization import per_channel_dynamic_qconfig

    halves, x_16 = copy.deepcopy(layer).bfloat16(), x.bfloat16()
    layer.qconfig = per_channel_dynamic_qconfig
    quantised = Linear.from_float(layer)
    return {"bfloat16": lambda: halves(x_16), "int8": lambda: quantised(x)}


def fastest(products: Mapping[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Seconds of each way's fastest product; a first one is not counted on."""
    best = dict.fromkeys(products, float("inf"))
    for _ in range(times + 1):
        for way, product in products.items():
            began = time.perf_counter()
            product()
            best[way] = min(best[way], time.perf_counter() - began)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")  # torch moves its 8-bit tensors to another package
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {given.threads} threads")
    with torch.no_grad():
        for rows in ROWS:
            for layer, (outputs, inputs) in SHAPES.items():
                if rows * outputs > MOST:
                    continue
                linear, x = layer_of(outputs, inputs), torch.randn(rows, inputs)
                products = exact_ways(linear, x) | rounded_ways(linear, x)
                if (rows, layer) == (ROWS[0], next(iter(SHAPES))):
                    print(f"{'rows':>5}  {'layer':10}" + "".join(f"{way:>18}" for way in products))
                seconds = fastest(products, given.times)
                exact = products["torch"]()
                cells = []
                for way, product in products.items():
                    speed = 2.0 * rows * outputs * inputs / seconds[way] / 1e9
                    away = float((product().float() - exact).norm() / exact.norm())
                    cells.append(f"{speed:8.0f} ({away:7.1e})")
                print(f"{rows:5}  {layer:10}" + "".join(cells))


if __name__ == "__main__":
    main()
