"""Tokens per second through vLLM servers: unsteered, under one edit, under many at once; beside the local engine's.

    python -m mindgap.serve model=tiny python=/vllm/bin/python &
    python benchmarks/vllm_throughput.py tiny http://127.0.0.1:8000 [--requests 64] [--tokens 64] [--rounds 5] [--local]

Rounds alternate, so that what else the machine does falls on all alike; the ratio is the median over rounds of steered
over unsteered of the same round. Servers without the plugin cannot be asked: what it costs to have it there and steer
nothing is measured by running vLLM's own benchmark with and without MINDGAP_VLLM=1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mindgap.backends.local import LocalBackend
from mindgap.backends.vllm import VllmBackend
from mindgap.cli.arguments import model_of
from mindgap.core.compose import composed, config_folder
from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import AddVector, Edit
from mindgap.core.records import Decoding, Message, Request

NOUNS = ("rivers", "clocks", "bread", "bridges", "maps", "whales", "letters", "gardens")


def edits_of(kind: str, number: int, width: int, layers: int) -> tuple[Edit, ...]:
    """Edits of request `number`: small, so that replies stay as long as they are."""
    block = layers // 2
    if kind == "unsteered":
        return ()
    distinct = {"1 edit": 1, "32 edits": 32, "ablations": 32}[kind]
    vector = np.random.default_rng(number % distinct).standard_normal(width).astype(np.float32)
    vector /= np.linalg.norm(vector)
    return (DirectionEdit(block, vector, "ablate"),) if kind == "ablations" else (AddVector(block, 0.5 * vector),)


def tokens_per_second(endpoint: Any, requests: Sequence[Request]) -> float:
    start = time.perf_counter()
    replies = dict(endpoint.generate(requests))
    seconds = time.perf_counter() - start
    failed = [reply.error for reply in replies.values() if reply.error]
    assert not failed, failed[0]
    return sum(reply.completion_tokens for reply in replies.values()) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--local", action="store_true", help="measure the local engine too, in the same rounds")
    given = parser.parse_args()
    model = model_of(composed([f"model={given.model}", "tracker=none"], config_folder()))
    endpoints: dict[str, Any] = {"vllm": VllmBackend(tuple(given.urls), concurrency=given.requests).open(model)}
    if given.local:
        endpoints["local"] = LocalBackend().open(model)
    served = endpoints["vllm"]
    kinds = ("unsteered", "1 edit", "32 edits", "ablations")
    rates: dict[tuple[str, str], list[float]] = {}
    for turn in range(given.rounds + 1):  # the first warms up
        for name, endpoint in endpoints.items():
            for kind in kinds:
                asked = [
                    Request(
                        endpoint.identity,
                        (Message("user", f"Tell me a long story, number {turn}-{number}, about {noun}."),),
                        Decoding(given.tokens, 0.0),
                        0,
                        edits_of(kind, number, served.d_model, served.layers),
                    )
                    for number in range(given.requests)
                    for noun in [NOUNS[number % len(NOUNS)]]
                ]
                rate = tokens_per_second(endpoint, asked)
                if turn:
                    rates.setdefault((name, kind), []).append(rate)
    print(f"{given.requests} requests of {given.tokens} tokens, median of {given.rounds} rounds")
    print(f"{'':8}{'':12}{'tokens/s':>10}{'over unsteered':>16}")
    for (name, kind), values in rates.items():
        ratios = [value / base for value, base in zip(values, rates[name, "unsteered"], strict=True)]
        print(f"{name:8}{kind:12}{statistics.median(values):10.1f}{statistics.median(ratios):16.3f}")


if __name__ == "__main__":
    main()
