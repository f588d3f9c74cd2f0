"""Serves a page to one person on this machine, and to nobody who does not know its address.

A port of one's own machine is open to all its users and to every web page in its browsers. So the address holds a
token that nobody can guess; the Host header must be ours, which defeats names that are made to point here (DNS
rebinding); and what comes from another page's origin is refused.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError


class LoopbackServer(ThreadingHTTPServer):
    """Serves on 127.0.0.1; `address` is what to open.

    Args:
        handler: Answers requests.
        port: 0 takes a free one.

    Raises:
        ConfigError: The port cannot be had.
    """

    daemon_threads = True

    def __init__(self, handler: type[GuardedHandler], port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__(("127.0.0.1", port), handler)
        except OSError as error:
            raise ConfigError(f"port={port}: {error.strerror}; leave port out for one that is free") from error

    @property
    def address(self) -> str:
        """What to open in a browser; it ends in the token."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request's Host header may say."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nobody's mistake; all else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class GuardedHandler(BaseHTTPRequestHandler):
    """Answers what comes from our own page in this machine's browser."""

    server: LoopbackServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def allowed(self) -> bool:
        """Whether the request comes from our page in this machine's browser; if not, it has been refused."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        token = self.path.split("/")[1] if self.path.startswith("/") else ""
        if host not in self.server.hosts:
            self.refuse(HTTPStatus.MISDIRECTED_REQUEST, "open the address as it was printed")
        elif origin is not None and origin != f"http://{host}":
            self.refuse(HTTPStatus.FORBIDDEN, "another page may not write here")
        elif not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self.refuse(HTTPStatus.FORBIDDEN, "open the address as it was printed: it ends in a code")
        else:
            return True
        return False

    def refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer with a reason, and read nothing more."""
        self.close_connection = True  # what it meant to send is not read
        self.reply(status, "text/plain; charset=utf-8", f"{why}\n".encode(), "default-src 'none'")

    def reply(self, status: HTTPStatus, kind: str, body: bytes, policy: str) -> None:
        """Answer.

        Args:
            status: Of the answer.
            kind: Its media type.
            body: Its content.
            policy: What a page may do (Content-Security-Policy).
        """
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the address would be in every line."""


def page_of(folder: Path) -> bytes:
    """The folder's page.html with its page.css and page.js inside."""
    style, script = _parts(folder)
    text = _read(folder / "page.html").replace("/* style */", style).replace("/* script */", script)
    return text.encode()


def policy_of(folder: Path, *further: str) -> str:
    """The Content-Security-Policy of that page: its own script and style, requests to this server, and nothing else.

    Args:
        folder: The page's.
        further: What it may do besides, as directives.
    """
    style, script = (_hashed(part) for part in _parts(folder))
    own = [f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'", *further]
    return "; ".join([*own, "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"])


def _parts(folder: Path) -> tuple[str, str]:
    return _read(folder / "page.css"), _read(folder / "page.js")


def _read(path: Path) -> str:
    """A page's style or script as a browser sees it."""
    return path.read_text(encoding="utf-8").replace("\r\n", "\n")


def _hashed(text: str) -> str:
    """How a Content-Security-Policy names a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
