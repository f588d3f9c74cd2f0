"""How the SDK's calls go over the network.

The SDK makes a new HTTP client, with a new TLS context, for every call; it tries again after a 429 only, sleeps in the
event loop while it waits, and does not look at Retry-After; its timeouts cannot be set, and it drops the usage that a
reply tells. All of that is in the class that this one takes the place of.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from typing import Any

import httpx
from goodfire.api.utils import AsyncHTTPWrapper

from mindgap.providers.http import Trouble, decoded, exchange, pause, reason

log = logging.getLogger(__name__)


class Transport(AsyncHTTPWrapper):
    """Calls by way of the process's one HTTP client, tried again as all of mindgap's calls are.

    To be awaited in `loop.event_loop`.

    Args:
        timeout: Seconds a call, whatever the SDK says.
        key: Never shown in a message.

    Raises:
        Trouble: A call failed for good.
    """

    def __init__(self, *, timeout: float, max_retries: int, key: str) -> None:
        super().__init__(max_retries=max_retries)
        self._timeout, self._key = timeout, key
        self.usage: Mapping[str, Any] = {}
        """What the last reply says of the tokens it took."""

    async def get(self, url: str, headers: Any = None, params: Any = None, *_: Any, **__: Any) -> httpx.Response:
        return await self._send("GET", url, headers, params=params)

    async def post(self, url: str, headers: Any = None, json: Any = None, *_: Any, **__: Any) -> httpx.Response:
        return await self._send("POST", url, headers, body=json)

    async def put(self, url: str, headers: Any = None, json: Any = None, *_: Any, **__: Any) -> httpx.Response:
        return await self._send("PUT", url, headers, body=json)

    async def delete(self, url: str, headers: Any = None, *_: Any, **__: Any) -> httpx.Response:
        return await self._send("DELETE", url, headers)

    async def stream(self, *_: Any, **__: Any) -> Any:
        """Not used here: the SDK cannot read a stream whose events are split or whose status is an error."""
        raise NotImplementedError("mindgap takes replies whole")

    async def _send(
        self, method: str, url: str, headers: Any, *, params: Any = None, body: Any = None
    ) -> httpx.Response:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        for attempt in itertools.count():
            try:
                content = await exchange(method, url, headers, data, self._timeout, params=params)
                self._read(content)
                return httpx.Response(200, content=content, headers={"Content-Type": "application/json"})
            except Trouble as trouble:
                wait = pause(trouble, attempt, self.max_retries)
                said = reason(trouble, self._key, attempt + 1)
                if wait is None:
                    raise Trouble(said, trouble.status, at_fault=trouble.at_fault) from trouble
                (log.warning if attempt == 2 else log.debug)("%s; trying again in %.1f s", said, wait)
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _read(self, data: bytes) -> None:
        body = decoded(data)
        usage = body.get("usage") if isinstance(body, dict) else None
        self.usage = usage if isinstance(usage, dict) else {}
