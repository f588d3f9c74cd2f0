"""Tokens per second through vLLM servers: unsteered, under one edit, under many at once; beside other engines.

    python -m mindgap.serve model=tiny python=/vllm/bin/python &
    python benchmarks/vllm_throughput.py tiny http://127.0.0.1:8000 [--requests 64] [--tokens 64] [--rounds 5]

`--local` measures the local engine too. `--plain http://127.0.0.1:8001` asks a server without the plugin, unsteered;
`python -m mindgap.serve model=tiny port=8001 show=true` prints the command for it, to be run with MINDGAP_VLLM=0.

Rounds alternate, so that what else the machine does falls on all alike; a ratio is the median over rounds of that of
the same round. Beside tokens per second stand tokens per second of processor time that the servers take, which other
programs on the machine disturb less: the first ratio is of the one, the second of the other.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil

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


def processes(urls: Sequence[str]) -> list[psutil.Process]:
    """Those that listen at the addresses, with all that they have started; this one where there are none."""
    ports = {urlsplit(url).port for url in urls}
    listen = {
        each.pid for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.laddr.port in ports
    }
    found = [psutil.Process(pid) for pid in listen] if urls else [psutil.Process()]
    return [*found, *(child for each in found for child in each.children(recursive=True))]


def measure(endpoint: Any, requests: Sequence[Request], working: Sequence[psutil.Process]) -> tuple[float, float]:
    """Tokens per second, and per second of a processor that the work takes."""

    def busy() -> float:
        return sum(times.user + times.system for times in (each.cpu_times() for each in working))

    start, before = time.perf_counter(), busy()
    replies = dict(endpoint.generate(requests))
    seconds, worked = time.perf_counter() - start, busy() - before
    failed = [reply.error for reply in replies.values() if reply.error]
    assert not failed, failed[0]
    tokens = sum(reply.completion_tokens for reply in replies.values())
    return tokens / seconds, tokens / worked


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
    here = processes(given.urls)
    measured: list[tuple[str, str, Any, list[psutil.Process]]] = [("vllm", kind, served, here) for kind in KINDS]
    if given.plain:
        plain = without_plugin(given.plain, model, backend)
        measured.append(("no plugin", "unsteered", plain, processes([given.plain])))
    if given.local:
        local = LocalBackend().open(model)
        measured += [("local", kind, local, processes([])) for kind in KINDS[:2]]
    rates: dict[tuple[str, str], list[tuple[float, float]]] = {(name, kind): [] for name, kind, _, _ in measured}
    for turn in range(given.rounds + 1):  # the first warms up
        for name, kind, endpoint, working in measured:
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
            rate = measure(endpoint, asked, working)
            if turn:
                rates[name, kind].append(rate)
                print(f"round {turn}: {name} {kind}: {rate[0]:.1f}, {rate[1]:.1f}", file=sys.stderr, flush=True)
    print(f"{given.requests} requests of {given.tokens} tokens, median of {given.rounds} rounds")
    bases = {"unsteered": None, **({"no plugin": ("no plugin", "unsteered")} if given.plain else {})}
    print(f"{'':22}{'tokens/s':>10}{'/CPU s':>8}" + "".join(f"{'over ' + base:>24}" for base in bases))
    for (name, kind), values in rates.items():
        row = f"{name:10}{kind:12}{median(values, 0):10.1f}{median(values, 1):8.1f}"
        for base in bases.values():
            ratios = [over(values, rates[base or (name, "unsteered")], what) for what in (0, 1)]
            row += f"{ratios[0]:16.3f}, {ratios[1]:.3f} "
        print(row)


def median(values: Sequence[tuple[float, float]], what: int) -> float:
    return statistics.median(value[what] for value in values)


def over(values: Sequence[tuple[float, float]], bases: Sequence[tuple[float, float]], what: int) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(value[what] / base[what] for value, base in zip(values, bases, strict=True))


if __name__ == "__main__":
    main()
