"""A judge under load: is the pace what the provider's latency allows, and is anything billed twice after a kill?

    python benchmarks/judge_load.py [--judgements 2394] [--concurrency 64] [--latency 0.2] [--clients direct litellm]

A scripted provider (scripted_provider.py) in a process of its own answers after `--latency` seconds, with 2 % 429s, 1 %
500s and 1 % malformed replies. Each run judges into a fresh store, as a cell does, in a process of its own. Printed per
client: wall time beside the ideal (judgements x latency / concurrency, one request each, no failures), CPU per
judgement, what came out, and what the provider billed. Then the same with `kill -9` in the middle and a second run that
completes it. `direct` is what an OpenAI-compatible server of one's own gets, `litellm` what everybody else gets, `bare`
posts the same requests by aiohttp, retries and reads nothing: what the machine allows at the moment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mindgap.core.records import JudgeRequest

MODELS = {"bare": "bare", "direct": "openai/scripted", "litellm": "custom_openai/scripted"}
RUBRIC = "Criteria:\n- Presence (40 %): it shows in what is said and how.\n" * 8


def judge_all(model: str, url: str, count: int, concurrency: int, store_path: str) -> None:
    """The child: judge `count` cases into the store, and print what came of it as JSON."""
    from mindgap.judges.fetch import judgements
    from mindgap.judges.llm import LLMJudge
    from mindgap.storage.store import Store

    judge = LLMJudge(model=model, api_base=f"{url}/v1", key_env=None, concurrency=concurrency)
    cases = [
        JudgeRequest("be funny", RUBRIC, f"Why is the sky blue? ({n})", f"Because of light, case {n}. " * 20)
        for n in range(count)
    ]
    if model == "bare":
        print("began", flush=True)
        print(json.dumps({**asyncio.run(bare(url, cases, concurrency)), "scored": 0, "judged": count, "reasons": {}}))
        return
    judge._api.prepare()  # importing is not what is measured
    store = Store(Path(store_path))
    print("began", flush=True)
    began, cpu = time.perf_counter(), time.process_time()
    judged = judgements(cases, judge, store)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    both = [(j.behaviour, j.coherence) for j in judged.values()]
    reasons = Counter(b.missing.partition(":")[0] for b, _ in both if b.missing)
    scored = sum(b.value is not None and c.value is not None for b, c in both)
    print(json.dumps({"wall": wall, "cpu": cpu, "scored": scored, "judged": len(judged), "reasons": reasons}))


async def bare(url: str, cases: list[JudgeRequest], concurrency: int) -> dict[str, float]:
    """Wall and CPU seconds of posting all cases and dropping the replies."""
    import aiohttp

    from mindgap.judges.prompts import RESPONSE_FORMAT, messages

    bodies = [
        {"model": "x", "messages": [asdict(m) for m in messages(case)], "response_format": RESPONSE_FORMAT}
        for case in cases
    ]
    left = iter(bodies)

    async def work() -> None:
        for body in left:
            async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                await response.json()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}


@contextmanager
def provider(latency: float) -> Iterator[str]:
    """The scripted provider's address, while the block runs."""
    program = Path(__file__).with_name("scripted_provider.py")
    process = subprocess.Popen(
        [sys.executable, str(program), "--latency", str(latency)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def ledger(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/ledger", timeout=10) as reply:
        spent: dict[str, Any] = json.load(reply)
    return spent


def start(client: str, url: str, store: Path, arguments: argparse.Namespace) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", MODELS[client], url, str(store)]
    sizes = ["--judgements", str(arguments.judgements), "--concurrency", str(arguments.concurrency)]
    process = subprocess.Popen([*command, *sizes], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=600)
    figures: dict[str, Any] = json.loads(out)
    return figures


def whole(client: str, arguments: argparse.Namespace) -> None:
    ideal = arguments.judgements * arguments.latency / arguments.concurrency
    with tempfile.TemporaryDirectory() as folder, provider(arguments.latency) as url:
        load = os.getloadavg()[0]
        made = finish(start(client, url, Path(folder) / "store.sqlite", arguments))
        billed = ledger(url)
    each = 1000 * made["cpu"] / arguments.judgements
    print(
        f"{client:8} wall {made['wall']:6.2f} s  ideal {ideal:5.2f} s  ratio {made['wall'] / ideal:4.2f}  "
        f"{each:4.2f} ms CPU each  load {load:4.1f}  scored {made['scored']} of {made['judged']}, "
        f"missing {made['reasons']}; calls {billed['calls']}, billed {billed['billed']}, "
        f"twice {billed['cases_billed_twice']}, at once {billed['most_at_once']}",
        flush=True,
    )


def killed(client: str, arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, provider(arguments.latency) as url:
        store = Path(folder) / "store.sqlite"
        first = start(client, url, store, arguments)
        while ledger(url)["billed"] < arguments.judgements // 2:
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        time.sleep(2 * arguments.latency)  # what was in flight is answered, and billed, all the same
        before = ledger(url)
        made = finish(start(client, url, store, arguments))
        after = ledger(url)
    print(
        f"{client:8} kill -9 after {before['billed']} billed, then run again: {made['judged']} judged, "
        f"billed {after['billed']} for {after['cases_billed']} cases, {after['cases_billed_twice']} twice "
        f"(at most {arguments.concurrency + arguments.concurrency // 8} were not stored)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgements", type=int, default=2394)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        model, url, store = arguments.child
        judge_all(model, url, arguments.judgements, arguments.concurrency, store)
        return
    for client in arguments.clients:
        for _ in range(arguments.repeats):
            whole(client, arguments)
        if client != "bare":
            killed(client, arguments)


if __name__ == "__main__":
    main()
