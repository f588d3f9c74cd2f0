"""Many clients with different variants at one `python -m mindgap.ember`: errors, cross-talk, throughput, waiting.

    python benchmarks/ember_load.py [--clients 64] [--seconds 60] [--tokens 32] [--rounds 4] [setting=value ...]

Settings are those of `python -m mindgap.ember` (model=tiny …). Three parts, one after the other on one machine:

1. the engine alone: `--rounds` times as many requests as there are clients through `generate`, in this process;
2. each client's request alone at the server, greedy: what its reply has to be;
3. all clients at once for `--seconds`, each asking its own question under its own variant again and again, streamed.

Without an SAE there are no variants; the questions differ in any case. Cross-talk is a greedy reply that is not the one
obtained alone; where two tokens are nearly as likely, another batch size can flip them by floating-point noise, so the
engine's own count of such flips is printed beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from mindgap.backends.local import LocalEndpoint
from mindgap.core.build import build
from mindgap.core.edits import FeatureEdit
from mindgap.core.records import Decoding, Message, Request
from mindgap.ember.__main__ import _configured
from mindgap.ember.catalogue import Features
from mindgap.steering.features import feature_edit
from mindgap.steering.vectors import contrast_prompts

CHAT = "/api/inference/v1/chat/completions"


@dataclass
class Client:
    """One client's request in both forms, and what came of it."""

    request: Request
    body: dict[str, Any]
    alone: str = ""
    waits: list[float] = field(default_factory=list)
    tokens: int = 0
    replies: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)


def clients(endpoint: LocalEndpoint, count: int, tokens: int) -> list[Client]:
    """Clients that differ in question and variant: a nudge, a pin, two nudges, or none, of features that are in use."""
    features = Features(endpoint) if "features" in endpoint.can else None
    live = np.argsort(-features.scales)[: max(1, features.count // 2)] if features else np.empty(0, int)
    questions = contrast_prompts(32)
    made = []
    for number in range(count):
        question = f"{questions[number % len(questions)]} Say {number}."
        edits: list[FeatureEdit] = []
        for position in range(number % 3 if features else 0):
            mode = "pin" if number % 5 == 4 else "nudge"
            edits.append(feature_edit(endpoint, int(live[(7 * number + position) % len(live)]), 0.4, mode=mode))
        request = Request("bench", (Message("user", question),), Decoding(tokens, 0), 0, tuple(edits))
        interventions = [_intervention(features, edit) for edit in edits] if features else []
        body = {
            "model": endpoint.model.name if endpoint.model else "local",
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_completion_tokens": tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            "controller": {"interventions": interventions},
        }
        made.append(Client(request, body))
    return made


def _intervention(features: Features, edit: FeatureEdit) -> dict[str, Any]:
    named = {"uuid": str(features.uuid(edit.feature)), "index_in_sae": edit.feature}
    mode = "nudge" if edit.is_nudge else "pin"
    return {"mode": mode, "features": {"features": [named]}, "value": edit.offset}


def engine_alone(endpoint: LocalEndpoint, some: Sequence[Client], rounds: int) -> tuple[float, int]:
    """Tokens per second of the engine at this batch size, and how many replies differ from the row alone."""
    requests = [client.request for client in some] * rounds
    for _ in endpoint.generate(requests[: len(some)]):
        pass  # warms up
    begun = time.perf_counter()
    done = dict(endpoint.generate(requests))
    took = time.perf_counter() - begun
    flips = 0
    for number, client in enumerate(some):
        ((_, alone),) = endpoint.generate([client.request])
        flips += alone.text != done[number].text
    return sum(completion.completion_tokens or 0 for completion in done.values()) / took, flips


async def ask(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> tuple[str, float, int]:
    """The reply's text, seconds to its first token, and its length in tokens. Raises RuntimeError for an error."""
    begun = time.perf_counter()
    first, text, tokens = 0.0, "", 0
    async with http.post(url + CHAT, json=body) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {(await answer.text())[:200]}")
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise RuntimeError(str(chunk["error"]))
            first = first or time.perf_counter() - begun
            for choice in chunk["choices"]:
                text += choice["delta"]["content"]
            tokens = chunk.get("usage", {}).get("completion_tokens", tokens)
    return text, first, tokens


async def load(url: str, some: Sequence[Client], seconds: float) -> float:
    """Ask for `seconds`; tokens per second that the server generated in that time, by its own count."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=600)
    ) as http:
        for client in some:
            client.alone, _, _ = await ask(http, url, client.body)
        end = time.perf_counter() + seconds

        async def go_on(client: Client) -> None:
            while time.perf_counter() < end:
                try:
                    text, wait, tokens = await ask(http, url, client.body)
                except (RuntimeError, aiohttp.ClientError, TimeoutError) as error:
                    client.errors.append(f"{type(error).__name__}: {error}")
                    continue
                client.waits.append(wait)
                client.replies += 1
                client.wrong += text != client.alone
                client.tokens += tokens

        async def generated() -> float:
            async with http.get(f"{url}/metrics") as answer:
                tokens_total = re.search(r"^ember_generated_tokens_total (\S+)", await answer.text(), re.MULTILINE)
            assert tokens_total is not None
            return float(tokens_total[1])

        before, begun = await generated(), time.perf_counter()
        asking = asyncio.gather(*(go_on(client) for client in some))
        await asyncio.sleep(end - time.perf_counter())
        rate = (await generated() - before) / (time.perf_counter() - begun)
        await asking
        return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    options, settings = parser.parse_known_args()
    _, config = _configured(settings)
    model, backend = build(config["model"], "model"), build(config["backend"], "backend")
    endpoint = backend.open(model)
    some = clients(endpoint, options.clients, options.tokens)
    rate, flips = engine_alone(endpoint, some, options.rounds)
    command = [sys.executable, "-m", "mindgap.ember", *settings, "port=0", f"queue={4 * options.clients}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = next((m for line in server.stderr if (m := re.search(r"listening on (http://\S+)", line))), None)
            if address is None:
                sys.exit(f"the server did not start: {' '.join(command)}")
            served = asyncio.run(load(address[1], some, options.seconds))
        finally:
            server.terminate()
    waits = np.array([wait for client in some for wait in client.waits] or [np.nan])
    replies, errors = sum(client.replies for client in some), [error for client in some for error in client.errors]
    variants = len({tuple(edit.key for edit in client.request.edits) for client in some})
    print(f"{endpoint.identity}: {options.clients} clients, {variants} variants, {options.seconds:g} s")
    print(f"replies                     {replies:>10}")
    print(f"errors                      {len(errors):>10}  {errors[0] if errors else ''}")
    wrong = sum(client.wrong for client in some)
    print(f"replies unlike those alone  {wrong:>10}  (engine: {flips} of {len(some)} requests)")
    print(f"tokens/s, engine alone      {rate:>10.1f}")
    print(f"tokens/s, served            {served:>10.1f}  ({served / rate:.0%})")
    print(f"first token, p50            {np.percentile(waits, 50):>10.2f} s")
    print(f"first token, p99            {np.percentile(waits, 99):>10.2f} s")


if __name__ == "__main__":
    main()
