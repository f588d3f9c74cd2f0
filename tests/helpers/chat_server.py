"""A scripted server on loopback that speaks the chat-completions protocol to the real client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass(frozen=True)
class Reply:
    """What the server says. `body` replaces the whole well-formed answer by something else.

    usage: tokens read and written. beside: what else the message holds.
    """

    content: str | None = "Hello."
    status: int = 200
    finish_reason: str = "stop"
    refusal: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    delay: float = 0.0
    logprobs: list[dict[str, Any]] | None = None
    usage: tuple[int, int] = (7, 3)
    beside: dict[str, Any] = field(default_factory=dict)


class ChatServer:
    """`answer(request body)` decides each reply; `asked` holds (request body, headers) of every call so far."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], Reply] = lambda body: Reply()
        self.asked: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def script(self, *replies: Reply) -> None:
        """Give these replies one after the other; the last one from then on."""
        left = list(replies)
        self.answer = lambda body: left.pop(0) if len(left) > 1 else left[0]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.asked.append((body, {name.lower(): value for name, value in self.headers.items()}))
                    server._now += 1
                    server.most_at_once = max(server.most_at_once, server._now)
                    reply = server.answer(body)
                try:
                    time.sleep(reply.delay)
                    self._send(reply, body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client has gone: that is what some tests are about
                finally:
                    with server._lock:
                        server._now -= 1

            def _send(self, reply: Reply, body: dict[str, Any]) -> None:
                if reply.body is not None:
                    text = reply.body
                elif reply.status != 200:
                    text = json.dumps({"error": {"message": f"scripted {reply.status}", "type": "x", "code": None}})
                else:
                    text = json.dumps(_completion(reply, body))
                data = text.encode()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def _completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal, **reply.beside}
    logprobs = None if reply.logprobs is None else {"content": reply.logprobs}
    read, written = reply.usage
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": reply.finish_reason, "message": message, "logprobs": logprobs}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()
