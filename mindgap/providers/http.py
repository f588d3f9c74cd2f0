"""One chat completion from an OpenAI-compatible server, by aiohttp and nothing between.

litellm and openai's client spend 4 to 7 ms of CPU on a call, which caps a process at about 150 to 250 calls a second
whatever the server can do (benchmarks/judge_load.py measures it). A server of one's own is often faster than that, and
it needs no translation; so it is asked directly.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import urllib.request
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mindgap.core.characters import encodable
from mindgap.core.secrets import MASK, excerpt
from mindgap.providers import pace
from mindgap.providers.loop import event_loop

if TYPE_CHECKING:
    import aiohttp

RETRIED = frozenset({408, 409, 425, 429})
"""Client-error statuses that may pass. All from 500 on are retried too; litellm makes a refused connection a 500."""

AT_FAULT = ("context_length_exceeded", "maximum context length", "content_policy", "content_filter")
"""Codes and words by which servers say that a request can never be answered as it is."""

MOST_BYTES = 64 << 20
"""Of a reply. With log-probabilities of 20 alternatives a token takes about 2 KB."""

MOST_SAID = 10_000
"""Characters of an error that are read at all."""


class Trouble(Exception):
    """Why a call gave no reply. The message is for people and may hold the key: mask it.

    Attributes:
        status: Of HTTP, None where there was none.
        wait: Seconds the server asks for; None where it asks for none.
        at_fault: The request itself cannot be answered, today or tomorrow.
    """

    def __init__(
        self, reason: str, status: int | None = None, wait: float | None = None, at_fault: bool = False
    ) -> None:
        super().__init__(reason)
        self.status, self.wait, self.at_fault = status, wait, at_fault


async def complete(base: str, key: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """The server's JSON object in reply to a request. To be awaited in `loop.event_loop`.

    Args:
        base: The server's address, up to `/v1`.
        key: The API key.
        body: The request.
        timeout: Seconds.

    Raises:
        Trouble: There is no such reply.
    """
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    url = f"{base.rstrip('/')}/chat/completions"
    data = await exchange("POST", url, headers, json.dumps(body).encode(), timeout)
    answer = decoded(data)
    if not isinstance(answer, dict):
        raise Trouble(f"the server's reply is not a JSON object: {_beginning(data)}")
    return answer


def decoded(data: bytes) -> Any:
    """The JSON value in the body of a reply.

    Raises:
        Trouble: It is no JSON, or none that can be read: nested too deep, or with a number of thousands of digits.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Trouble(f"the server's reply is not JSON: {_beginning(data)}") from error


async def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    data: bytes | None,
    timeout: float,
    *,
    params: Mapping[str, Any] | None = None,
) -> bytes:
    """The body of a reply of status 200. To be awaited in `loop.event_loop`.

    Args:
        method: Of HTTP.
        url: The address.
        headers: Of the request.
        data: The request's body; None = none.
        timeout: Seconds until the reply is complete.
        params: What is put behind the address, as `?name=value`.

    Raises:
        Trouble: The reply has another status, is late, or does not come.
    """
    import aiohttp

    try:
        async with _session(os.getpid()).request(
            method,
            url,
            params=params,
            data=data,
            headers=headers,
            proxy=_proxy(*urlsplit(url)[:2]),
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            read = await _read(response.content)
            if response.status != 200:
                raise _refused(response.status, response.reason or "", read, response.headers)
            return read
    except TimeoutError as error:
        raise Trouble(f"timeout: no reply within {timeout:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:  # no HTTP, or a redirect to what is no address
        raise Trouble(f"no connection to the server: {error or type(error).__name__}") from error


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """The whole body. Raises Trouble for one that no reply needs, before it fills the memory."""
    pieces, size = [], 0
    async for piece in stream.iter_chunked(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise Trouble(f"the server's reply is longer than {MOST_BYTES >> 20} MB")
    return b"".join(pieces)


def pause(trouble: Trouble, attempt: int, max_retries: int) -> float | None:
    """How long to wait before a call that failed is tried again.

    Args:
        trouble: How it failed.
        attempt: Number of the call that failed, from 0.
        max_retries: Calls after the first one.

    Returns:
        Seconds; None where there is no point in trying again.
    """
    status = trouble.status
    passes = status is None or status >= 500 or status in RETRIED
    if attempt >= max_retries or not passes or "insufficient_quota" in str(trouble):
        return None
    if trouble.wait is not None:
        return trouble.wait if trouble.wait <= pace.LONGEST_WAIT else None
    return pace.backoff(attempt)


def reason(error: Exception, key: str, calls: int) -> str:
    """One line: kind, status, what the server said, without the key (some servers repeat it).

    Args:
        error: How the last call failed.
        key: The API key, masked wherever it occurs.
        calls: How many calls failed.
    """
    text = encodable(" ".join(str(error)[:MOST_SAID].split())).removeprefix("litellm.")
    text = excerpt(text.replace(key, MASK) if key else text, 300)
    return f"{text} (after {calls} calls)" if calls > 1 else text


def _beginning(data: bytes) -> str:
    return excerpt(encodable(data[:MOST_SAID].decode(errors="replace")), 80)


def _refused(status: int, phrase: str, data: bytes, headers: Mapping[str, str]) -> Trouble:
    text = data.decode(errors="replace")
    try:
        error = json.loads(text)["error"]
        said = error if isinstance(error, str) else f"{error.get('message', '')} {error.get('code') or ''}".strip()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        said = text
    at_fault = status < 500 and any(sign in said.lower() for sign in AT_FAULT)
    return Trouble(f"{status} {phrase}: {said}", status, pace.asked_to_wait(headers), at_fault)


@cache
def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for this address. aiohttp would look it up at every call, which is slow."""
    if urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme)


@cache
def _session(pid: int) -> aiohttp.ClientSession:
    """The process's one client, with as many connections as there are calls at once; closed as the process ends."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    atexit.register(lambda: asyncio.run_coroutine_threadsafe(session.close(), event_loop()).result(5))
    return session
