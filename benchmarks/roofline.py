"""How near the limit of this machine the local engine comes, and where the rest of its time goes.

    python benchmarks/roofline.py [--threads 2] [--rows 64] [--prompt 64] [--steps 8] [--times 5]

The limits are measured here: GFLOP/s of matrix products at the embedded model's shapes (as in
`benchmarks/linears.py`, the faster way), each by itself, and GB/s of reading and copying an array that no cache holds.
*Prefill* reads 2,048 tokens in prompts of `--prompt` tokens that begin differently; *decode* adds a token to each of
`--rows` such prompts. Every row has a steering vector of its own. GFLOP are those of the linear layers, of attention
(what a causal mask leaves) and of the head, two for each multiplication with addition. *products* is the rate of the
matrix products by themselves, *of it* what the engine reaches. *memory* is the share of the time that reading the
weights, keys and values once would take. Every time is the best of `--times`, of `--steps` for decoding; on a busy
machine neither side is to be believed.

The second table is torch.profiler's: time inside operators by what they do, and the time outside any of them, which is
Python's, ours and transformers'. The profiler makes Python slower, so that share is an upper bound.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from linears import SHAPES, exact_ways, fastest, layer_of

from mindgap.backends.local import LocalBackend
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.rows import Row
from mindgap.backends.local.session import open_session
from mindgap.core.edits import AddVector
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding

PREFILL = 2048
"""Tokens that the measured pass over prompts reads."""
ARRAY = 256 * 2**20
"""Bytes of the array that memory is measured with."""

GROUPS = {
    "linear layers": ("mm", "addmm", "linear", "matmul", "bmm", "t", "transpose", "_linear_pointwise"),
    "attention": ("softmax", "_softmax", "_safe_softmax"),
    "norms, rotation, activations, steering": (
        *("mul", "mul_", "add", "add_", "sub", "div", "neg", "pow", "mean", "rsqrt", "silu", "silu_", "sigmoid"),
        *("cos", "sin", "rms_norm", "_fused_rms_norm"),
    ),
    "copies: cache, heads, rotated halves": (
        *("copy_", "clone", "contiguous", "cat", "index", "index_put_", "_index_put_impl_", "index_select"),
        *("_to_copy", "to", "repeat_interleave", "expand", "zeros", "fill_", "zero_", "embedding"),
    ),
}
"""Operators of `aten` by what they are for."""
OTHERS = "other operators"


def group_of(operator: str) -> str:
    """What an operator such as `aten::mm` is for."""
    name = operator.rpartition("::")[2]
    if "scaled_dot_product" in name:
        return "attention"
    for group, names in GROUPS.items():
        if name in names:
            return group
    return OTHERS


def operations(config: Any, rows: int, tokens: int, before: int, headed: int) -> dict[str, float]:
    """Floating-point operations of a pass, by part.

    Args:
        config: Of the model, of Llama's kind.
        rows: Texts.
        tokens: New tokens of each.
        before: Tokens of each that the cache holds.
        headed: Tokens, over all rows, whose logits are wanted.
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    heads, kept, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    weights = 2 * width * heads * size + 2 * width * kept * size + 3 * width * inner
    looked_at = tokens * before + tokens * (tokens + 1) / 2
    return {
        "linear": 2.0 * rows * tokens * layers * weights,
        "attention": 2.0 * rows * layers * 2 * heads * size * looked_at,
        "head": 2.0 * headed * width * config.vocab_size,
    }


def bytes_read(config: Any, rows: int, before: int, itemsize: int) -> float:
    """Bytes of weights, the head's included, and of the keys and values of `rows` rows of `before` tokens."""
    linear = operations(config, 1, 1, 0, 1)
    cached = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * rows * before
    return itemsize * (linear["linear"] / 2 + linear["head"] / 2 + cached)


def product_seconds(config: Any, tokens: int, headed: int, times: int) -> float:
    """What the products of a pass's linear layers and head take, each shape repeated by itself in the faster way."""
    seconds = 0.0
    for layer, (outputs, inputs) in SHAPES.items():
        rows = headed if layer == "head" else tokens
        products = exact_ways(layer_of(outputs, inputs), torch.randn(rows, inputs))
        number = 1 if layer == "head" else config.num_hidden_layers * len(layer.split(","))
        seconds += number * min(fastest(products, times).values())
    return seconds


def bandwidth(times: int) -> dict[str, float]:
    """GB/s of reading an array, and of copying one (read and written bytes together)."""
    source, target = torch.ones(ARRAY // 4), torch.empty(ARRAY // 4)
    seconds = fastest({"read": source.sum, "copy": lambda: target.copy_(source)}, times)
    return {"read": ARRAY / seconds["read"] / 1e9, "copy": 2 * ARRAY / seconds["copy"] / 1e9}


def _seconds(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def rows_of(engine: Engine, count: int, tokens: int, reply: int) -> list[Row]:
    """Rows that begin differently, so that nothing of them is shared, each with a vector of its own."""
    random = np.random.default_rng(0)
    ids = random.integers(100, engine.vocabulary, (count, tokens + 1))
    vectors = 0.01 * random.standard_normal((count, engine.d_model))
    decoding = Decoding(max_tokens=reply, temperature=0)
    return [
        Row(index, some.tolist(), decoding, np.zeros(reply, np.float32), (AddVector(engine.layers // 2, vector),))
        for index, (some, vector) in enumerate(zip(ids, vectors, strict=True))
    ]


def prefill(engine: Engine, prompt: int) -> Callable[[], Any]:
    """What reads `PREFILL` tokens, once."""
    rows = rows_of(engine, PREFILL // prompt, prompt, 1)
    session = open_session(engine, slots=len(rows), capacity=prompt + 2, edits=[row.edits for row in rows])
    return lambda: session.admit(rows)


def decode(engine: Engine, count: int, prompt: int, steps: int) -> Callable[[], Any]:
    """What makes a token for each of `count` rows, `steps` times; a first step has been made."""
    rows = rows_of(engine, count, prompt, steps + 1)
    session = open_session(engine, slots=count, capacity=prompt + steps + 2, edits=[row.edits for row in rows])
    session.admit(rows)
    session.step()
    return session.step


def shares(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds that `run` spends by group of operators, and outside any."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        whole = _seconds(run)
    spent: Counter[str] = Counter()
    for event in profile.key_averages():
        spent[group_of(event.key)] += event.self_cpu_time_total / 1e6
    found = {group: spent[group] for group in (*GROUPS, OTHERS)}
    return found | {"Python, outside operators": whole - sum(found.values())}


def line(name: str, tokens: int, seconds: float, work: dict[str, float], limit: float, bound: float) -> str:
    """A line of the first table.

    Args:
        name: Of the pass.
        tokens: It reads.
        seconds: It takes.
        work: Its operations.
        limit: Seconds that its matrix products take by themselves.
        bound: Seconds that reading its weights, keys and values takes.
    """
    rate, best = sum(work.values()) / seconds / 1e9, (work["linear"] + work["head"]) / limit / 1e9
    return (
        f"{name:8}{tokens:8}{1000 * seconds:9.1f}{tokens / seconds:10.0f}{sum(work.values()) / 1e9:8.1f}{rate:9.1f}"
        f"{best:10.1f}{rate / best:7.0%}{bound / seconds:8.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of each prompt")
    parser.add_argument("--steps", type=int, default=8, help="steps of decoding")
    parser.add_argument("--times", type=int, default=5, help="how often everything else is repeated")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    engine = LocalBackend(dtype="float32", max_rows=given.rows).open(ModelSpec(name="tiny", embedded=True)).engine
    config, size = engine.config, engine.dtype.itemsize
    prompts = PREFILL // given.prompt

    prefill(engine, given.prompt)()
    read_in = min(_seconds(prefill(engine, given.prompt)) for _ in range(given.times))
    step = decode(engine, given.rows, given.prompt, given.steps)
    stepped = min(_seconds(step) for _ in range(given.steps))
    before = given.prompt + 1 + given.steps // 2
    with torch.inference_mode():
        memory = bandwidth(given.times)
        products = {
            "prefill": product_seconds(config, PREFILL, prompts, given.times),
            "decode": product_seconds(config, given.rows, given.rows, given.times),
        }
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {given.threads} threads")
    print(f"memory: {memory['read']:.1f} GB/s read, {memory['copy']:.1f} GB/s copied")
    heads = ("tokens/s", 10), ("GFLOP", 8), ("GFLOP/s", 9), ("products", 10), ("of it", 7), ("memory", 8)
    print(f"{'':8}{'tokens':>8}{'ms':>9}" + "".join(f"{head:>{width}}" for head, width in heads))
    for name, tokens, seconds, work, weights in (
        (
            "prefill",
            prompts * given.prompt,
            read_in,
            operations(config, prompts, given.prompt, 0, prompts),
            bytes_read(config, 0, 0, size),
        ),
        (
            "decode",
            given.rows,
            stepped,
            operations(config, given.rows, 1, before, given.rows),
            bytes_read(config, given.rows, before, size),
        ),
    ):
        print(line(name, tokens, seconds, work, products[name], weights / memory["read"] / 1e9))

    print()
    print(f"{'of the time of':42}{'prefill':>9}{'decode':>9}")
    reading = shares(prefill(engine, given.prompt))
    step = decode(engine, given.rows, given.prompt, given.steps)
    stepping = shares(lambda: [step() for _ in range(given.steps)])
    for group in reading:
        print(f"{group:42}{_share(reading, group):9.1%}{_share(stepping, group):9.1%}")


def _share(spent: dict[str, float], group: str) -> float:
    return spent[group] / sum(spent.values())


if __name__ == "__main__":
    main()
