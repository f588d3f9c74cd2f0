"""What a request has to pass before anything reads it: key, host, size, time. An ASGI application around another.

Requests that fail here never reach the framework, so nothing of them is buffered, parsed or echoed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from mindgap.ember.metrics import Metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS = 30
"""How long a client may take to send a body."""
DRAINED = 64 * 2**20
"""Bytes of a body that is too large which are still read, and thrown away, so that the client hears the answer."""
OPEN_PATHS = ("/healthz",)
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


class Guard:
    """key: what clients must send as bearer token; None = nothing. max_body: bytes.

    Without a key only requests that name this machine as host are taken: a page in a browser can make its own name
    point here (DNS rebinding), and then it would read the answers.
    """

    def __init__(self, app: App, *, key: str | None, max_body: int, metrics: Metrics) -> None:
        self._app, self._max_body, self._metrics = app, max_body, metrics
        self._key = None if key is None else hashlib.sha256(key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, counted)
        finally:
            self._metrics.answered(scope["path"], status)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if self._key is None and _host(headers.get(b"host", b"")) not in LOCAL_HOSTS:
            await _refuse(scope, send, 400, "Invalid host: without an API key this server answers only as localhost.")
            return
        if scope["path"] not in OPEN_PATHS and not self._knows_key(headers):
            await _refuse(scope, send, 401, "Invalid API key.", {"WWW-Authenticate": "Bearer"})
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._body(headers, receive)
        except TimeoutError:
            await _refuse(scope, send, 408, "The request's body did not arrive in time.", {"Connection": "close"})
            return
        except _TooLarge:
            words = f"Request body too large: {self._max_body} bytes are the most."
            await _refuse(scope, send, 413, words, {"Connection": "close"})
            return
        if body is None:  # the client is gone
            return
        await self._app(scope, _replayed(body, receive), send)

    def _knows_key(self, headers: dict[bytes, bytes]) -> bool:
        if self._key is None:
            return True
        kind, _, key = headers.get(b"authorization", b"").partition(b" ")
        key = key if kind.lower() == b"bearer" else b""
        return hmac.compare_digest(hashlib.sha256(key.strip()).digest(), self._key)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        body = bytearray()
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size <= self._max_body:
                body += part
            else:
                body.clear()
            more = message.get("more_body", False)
            if size > self._max_body and (not more or size > DRAINED):
                raise _TooLarge
            if not more:
                return bytes(body)


class _TooLarge(Exception):
    """The body is larger than a request may be."""


def error_body(
    scope_path: str, status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """An error in the form of the API that the path belongs to: OpenAI's under `/v1`, else that of the framework."""
    if scope_path.startswith("/v1/"):
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return {"detail": message}


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _host(header: bytes) -> str:
    """The name in a Host header, without port and brackets."""
    text = header.decode("latin-1").strip().lower()
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


async def _refuse(scope: Scope, send: Send, status: int, message: str, headers: dict[str, str] | None = None) -> None:
    assert HTTPStatus(status)
    body = json.dumps(error_body(scope["path"], status, message)).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    raw = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
