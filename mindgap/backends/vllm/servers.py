"""Several vLLM servers of one model: each request goes to one that has room, and to another where that one fails.

A server that fails rests, for longer each time, and gets a request again after that. One whose reply does not say that
mindgap's plugin is there, or that serves another model, has failed: what it said is not used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mindgap.providers.http import Trouble, decoded, exchange, pause, reason
from mindgap.providers.pace import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)

MARK = "mindgap-vllm/"
"""How the plugin signs `system_fingerprint`, before its version."""
PATIENCE = 0.25
"""Seconds after which a request that waits looks again whether a server has room."""


@dataclass(eq=False)
class Server:
    """One server. Touched in the event loop's thread only, once requests are under way.

    Attributes:
        url: Its address, without `/v1`.
        under_way: Requests that it works on.
        rests_until: Seconds on the monotonic clock; it gets no request before.
        failed: Calls that failed in a row.
        answered: Requests that it answered.
    """

    url: str
    under_way: int = 0
    rests_until: float = 0.0
    failed: int = 0
    answered: int = 0

    def rest(self, seconds: float | None = None) -> None:
        """Leave it alone for a while.

        Args:
            seconds: As long as it asked for; None = the longer, the more often it failed in a row.
        """
        own = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self.failed, 10))
        self.failed += 1
        self.rests_until = time.monotonic() + (own if seconds is None else seconds)


@dataclass(eq=False)
class Servers:
    """The servers of one model.

    Attributes:
        servers: At least one.
        concurrency: Most requests under way at each.
        timeout: Seconds until a call counts as failed.
        max_retries: How often, on average over the servers, a request may fail before it is given up.
        key_env: Name of the environment variable that holds the servers' key; None = they need none.
        model: The name that all of them serve the model by.
        signature: What `system_fingerprint` has to end with.
    """

    servers: Sequence[Server]
    concurrency: int
    timeout: float
    max_retries: int
    key_env: str | None = None
    model: str = ""
    signature: str = MARK
    _told: set[str] = field(default_factory=set)

    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """One choice of the reply to a request to `/v1/completions`, with the reply's `usage` in it.

        To be awaited in `loop.event_loop`.

        Raises:
            Trouble: No server answered it, or it cannot be answered.
        """
        data = json.dumps({"model": self.model, **body}).encode()
        most = (self.max_retries + 1) * len(self.servers)
        for attempt in range(most):
            server = await self._one_with_room()
            server.under_way += 1
            try:
                choice = _choice(await self._call(server, data), self.signature)
            except Trouble as trouble:
                if pause(trouble, 0, 1) is None or attempt == most - 1:
                    raise Trouble(self._said(server, trouble, attempt + 1), trouble.status) from trouble
                server.rest(trouble.wait)
                self._tell(server, trouble)
            else:
                server.failed, server.answered = 0, server.answered + 1
                return choice
            finally:
                server.under_way -= 1
        raise AssertionError("unreachable")

    async def models(self, server: Server) -> list[dict[str, Any]]:
        """What a server says of the models that it serves. Raises Trouble."""
        content = decoded(await exchange("GET", f"{server.url}/v1/models", self._headers(), None, self.timeout))
        models = content.get("data") if isinstance(content, dict) else None
        if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
            raise Trouble("it lists no models: is it a server of vLLM?")
        return models

    async def ask(self, server: Server, body: Mapping[str, Any]) -> dict[str, Any]:
        """Likewise as `complete`, of one server, once."""
        return _choice(await self._call(server, json.dumps({"model": self.model, **body}).encode()), self.signature)

    async def _call(self, server: Server, data: bytes) -> Any:
        url = f"{server.url}/v1/completions"
        try:
            return decoded(await exchange("POST", url, self._headers(), data, self.timeout))
        except Trouble as trouble:
            if trouble.status == 404:  # the name says which weights it serves: it serves others now
                raise Trouble(f"it no longer serves {self.model}: {trouble}", 503) from trouble
            raise

    async def _one_with_room(self) -> Server:
        """The server with the fewest requests under way, of those that do not rest; waits for one."""
        while True:
            now = time.monotonic()
            ready = [each for each in self.servers if each.rests_until <= now]
            # one that has failed is tried with one request before it gets more
            free = [each for each in ready if each.under_way < (1 if each.failed else self.concurrency)]
            if free:
                return min(free, key=lambda each: (each.under_way, each.answered))
            soonest = min(each.rests_until for each in self.servers)
            await asyncio.sleep(PATIENCE if ready else max(0.01, min(soonest - now, LONGEST_WAIT)))

    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self._key or 'none'}"}

    @property
    def _key(self) -> str:
        return os.environ.get(self.key_env, "") if self.key_env else ""

    def _said(self, server: Server, trouble: Trouble, calls: int) -> str:
        return f"{place(server.url)}: {reason(trouble, self._key, calls)}"

    def _tell(self, server: Server, trouble: Trouble) -> None:
        """Say once what is wrong with a server, and that the others go on.

        One failure alone is nothing: a connection that was kept open may be closed just as it is used again.
        """
        if server.failed > 1 and server.url not in self._told and len(self.servers) > 1:
            self._told.add(server.url)
            log.warning("%s; its requests go to the other servers", self._said(server, trouble, 1))


def place(url: str) -> str:
    """Host and port of a server, for messages."""
    return urlsplit(url).netloc


def _choice(answer: Any, signature: str) -> dict[str, Any]:
    """The first choice of a reply. Raises Trouble for a reply that is none, or from a server that may not steer."""
    try:
        said = str(answer.get("system_fingerprint") or "")
        (choice,) = answer["choices"]
        usage = dict(answer.get("usage") or {})
        whole = {**choice, "usage": usage}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Trouble(f"the server's reply is not a completion ({type(error).__name__})") from error
    if not said.endswith(signature):
        raise Trouble(
            f"its reply does not say that mindgap's plugin is there ({said or 'no fingerprint'}): start it with "
            "python -m mindgap.serve",
            503,
        )
    return whole
