"""A scripted chat-completions provider in a process of its own: latency, failures, malformed replies, and a ledger.

    python benchmarks/scripted_provider.py [--latency 0.2] [--too-many 0.02] [--broken 0.01] [--malformed 0.01]

Prints its address. What happens to a case is decided by a hash of what is asked, so every run meets the same trouble: a
429 or a 500 on the first call of a case only, a malformed reply on every call. `GET /ledger` tells how many calls were
answered (what a provider bills), how many cases that were, and how many cases were billed more than once.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from collections import Counter

from aiohttp import web

MALFORMED = (
    "I would give this a four.",
    '{"analysis": "It is',
    '{"analysis": "", "behaviour": 9, "coherence": "high"}',
)


class Provider:
    """The script and the ledger."""

    def __init__(self, latency: float, too_many: float, broken: float, malformed: float) -> None:
        self.latency, self.too_many, self.broken, self.malformed = latency, too_many, broken, malformed
        self.calls: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.now = self.most_at_once = 0

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        case = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
        self.calls[case] += 1
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            await asyncio.sleep(self.latency)
            return self.answer(case, body["model"])
        finally:
            self.now -= 1

    def answer(self, case: str, model: str) -> web.Response:
        luck = int(case[:8], 16) / 16**8
        if self.calls[case] == 1 and luck < self.too_many:
            return self._send({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.5"})
        luck -= self.too_many
        if self.calls[case] == 1 and 0 <= luck < self.broken:
            return self._send({"error": {"message": "it broke"}}, 500)
        luck -= self.broken
        self.billed[case] += 1
        scores = {"behaviour": 1 + int(case[8], 16) % 5, "coherence": 1 + int(case[9], 16) % 5}
        content = json.dumps({"analysis": f"Case {case[:8]} shows some of it, and reads well enough.", **scores})
        if 0 <= luck < self.malformed:
            content = MALFORMED[int(case[10], 16) % len(MALFORMED)]
        message = {"role": "assistant", "content": content, "refusal": None}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}
        usage = {"prompt_tokens": 700, "completion_tokens": 60, "total_tokens": 760}
        name = {"id": case[:12], "object": "chat.completion", "created": 1, "model": model}
        return self._send({**name, "choices": [choice], "usage": usage})

    def _send(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        self.statuses[status] += 1
        return web.json_response(body, status=status, headers=headers)

    async def ledger(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "calls": sum(self.calls.values()),
                "billed": sum(self.billed.values()),
                "cases_billed": len(self.billed),
                "cases_billed_twice": sum(count > 1 for count in self.billed.values()),
                "most_at_once": self.most_at_once,
                "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            }
        )


async def serve(provider: Provider) -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider.complete)
    app.router.add_get("/ledger", provider.ledger)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--too-many", type=float, default=0.02)
    parser.add_argument("--broken", type=float, default=0.01)
    parser.add_argument("--malformed", type=float, default=0.01)
    asyncio.run(serve(Provider(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
