"""Tokens per second through vLLM servers: unsteered, under one edit, under many at once; beside other engines.

    python -m mindgap.serve model=tiny python=/vllm/bin/python &
    python benchmarks/vllm_throughput.py tiny http://127.0.0.1:8000 [--requests 64] [--tokens 64] [--rounds 5]

`--local` measures the local engine too. `--plain http://127.0.0.1:8001` asks a server without the plugin, unsteered;
`python -m mindgap.serve model=tiny port=8001 show=true` prints the command for it, to be run with MINDGAP_VLLM=0.

Rounds alternate, so that what else the machine does falls on all alike; a ratio is the median over rounds of that of
the same round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mindgap.backends.local import LocalBackend
from mindgap.backends.local.load import describe
from mindgap.backends.vllm import VllmBackend
from mindgap.backends.vllm.endpoint import VllmEndpoint
from mindgap.backends.vllm.servers import Server, Servers
from mindgap.cli.arguments import model_of
from mindgap.core.compose import composed, config_folder
from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import AddVector, Edit
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Request
from mindgap.providers.loop import run_each

KINDS = ("unsteered", "1 edit", "32 edits", "ablations")
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


def without_plugin(url: str, model: ModelSpec, backend: VllmBackend) -> VllmEndpoint:
    """A server that does not steer, which `VllmBackend.open` would not take."""
    servers = [Server(url)]
    room = Servers(servers, backend.concurrency, backend.timeout, 0, signature="")
    ((_, (served, *_)),) = run_each(room.models, servers, 1)
    room.model = str(served["id"])
    return VllmEndpoint(backend, model, describe(model), room, context=int(served["max_model_len"]))


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
    parser.add_argument("--plain", metavar="URL", help="measure a server without the plugin too, in the same rounds")
    given = parser.parse_args()
    model = model_of(composed([f"model={given.model}", "tracker=none"], config_folder()))
    backend = VllmBackend(tuple(given.urls), concurrency=given.requests)
    served = backend.open(model)
    measured: list[tuple[str, str, Any]] = [("vllm", kind, served) for kind in KINDS]
    if given.plain:
        measured.append(("no plugin", "unsteered", without_plugin(given.plain, model, backend)))
    if given.local:
        local = LocalBackend().open(model)
        measured += [("local", kind, local) for kind in KINDS[:2]]
    rates: dict[tuple[str, str], list[float]] = {(name, kind): [] for name, kind, _ in measured}
    for turn in range(given.rounds + 1):  # the first warms up
        for name, kind, endpoint in measured:
            asked = [
                Request(
                    endpoint.identity,
                    (Message("user", f"Tell me a long story, number {turn}-{number}, about {noun}."),),
                    Decoding(given.tokens if turn else 4, 0.0),
                    0,
                    edits_of(kind, number, served.d_model, served.layers),
                )
                for number in range(given.requests)
                for noun in [NOUNS[number % len(NOUNS)]]
            ]
            rate = tokens_per_second(endpoint, asked)
            if turn:
                rates[name, kind].append(rate)
                print(f"round {turn}: {name} {kind}: {rate:.1f}", file=sys.stderr, flush=True)
    print(f"{given.requests} requests of {given.tokens} tokens, median of {given.rounds} rounds")
    print(f"{'':22}{'tokens/s':>10}{'over unsteered':>16}{'over no plugin':>16}")
    for (name, kind), values in rates.items():
        row = f"{name:10}{kind:12}{statistics.median(values):10.1f}{over(values, rates[name, 'unsteered']):16.3f}"
        print(row + (f"{over(values, rates['no plugin', 'unsteered']):16.3f}" if given.plain else ""))


def over(values: Sequence[float], bases: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(value / base for value, base in zip(values, bases, strict=True))


if __name__ == "__main__":
    main()
