"""Serves the rating page to one person on this machine, and to nobody who does not know its address.

A port of one's own machine is open to all its users and to every web page in its browsers. So the address holds a
token that nobody can guess; the Host header must be ours, which defeats names that are made to point here (DNS
rebinding); and a write must be JSON from our own origin, which no other page can send.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.judges.prompts import INSTRUCTIONS
from mindgap.results.cards import Card
from mindgap.results.ratings import Rating, append_rating, read_ratings

HERE = Path(__file__).resolve().parent
LONGEST = 10_000
"""Bytes of a rating; a real one is 200."""


class AnnotationServer(ThreadingHTTPServer):
    """Serves one person's deck on 127.0.0.1; `address` is what to open.

    Args:
        folder: The sweep's; ratings are appended to its `ratings.jsonl`.
        rater: Who rates.
        deck: What is rated, in order.
        samples: Keys of the samples that each card of the deck stands for, by the card's key.
        port: 0 takes a free one.

    Raises:
        ConfigError: The port cannot be had.
    """

    daemon_threads = True

    def __init__(
        self, folder: Path, rater: str, deck: Sequence[Card], samples: Mapping[str, Sequence[str]], port: int = 0
    ) -> None:
        self.folder, self.rater, self.deck, self.samples = folder, rater, tuple(deck), samples
        self.token = secrets.token_urlsafe(24)
        self.writing = threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
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

    @cached_property
    def page(self) -> bytes:
        """The page with its style and script inside."""
        style, script = (_as_read(name) for name in ("page.css", "page.js"))
        text = _as_read("page.html").replace("/* style */", style).replace("/* script */", script)
        return text.encode()

    @cached_property
    def policy(self) -> str:
        """What the page may do: run its own script and style, ask this server, and nothing else."""
        style, script = (_hash(_as_read(name)) for name in ("page.css", "page.js"))
        return (
            f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def state(self) -> dict[str, Any]:
        """What the page shows: cards in order, each with the person's rating so far. Nothing of any cell."""
        ratings = read_ratings(self.folder)
        return {
            "rater": self.rater,
            "coherence": coherence_scale(),
            "cards": [
                {
                    "key": card.key,
                    **asdict(card.shown),
                    "rating": _scores(ratings.get((self.rater, card.key), Rating(self.rater, card.key))),
                }
                for card in self.deck
            ],
        }

    def save(self, data: Any) -> None:
        """Append a rating from the page.

        Raises:
            ValueError: `data` is no rating, or of no card of this sweep.
        """
        if not isinstance(data, dict) or not set(data) <= {"sample", "behaviour", "coherence", "skipped"}:
            raise ValueError("a rating has sample, behaviour, coherence and skipped")
        if data.get("sample") not in self.samples:
            raise ValueError("there is no such sample here")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        rating = replace(Rating(self.rater, **data), keys=self.samples[data["sample"]], time=now)
        with self.writing:
            append_rating(self.folder, rating)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nobody's mistake; all else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: AnnotationServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path == f"/{self.server.token}/":
            self._reply(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif self.path == f"/{self.server.token}/cards":
            self._reply(HTTPStatus.OK, "application/json", json.dumps(self.server.state()).encode())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "nothing here")

    def do_POST(self) -> None:
        if not self._allowed():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != f"/{self.server.token}/ratings":
            self._refuse(HTTPStatus.NOT_FOUND, "nothing here")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a rating is application/json")
        elif not length.isdecimal() or int(length) > LONGEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a rating has a length, of at most {LONGEST}")
        else:
            try:
                self.server.save(json.loads(self.rfile.read(int(length))))
            except (ValueError, TypeError) as error:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            except OSError as error:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"the rating could not be written: {error}")
            else:
                self._reply(HTTPStatus.OK, "application/json", b"{}")

    def _allowed(self) -> bool:
        """Whether the request comes from our page in this machine's browser; if not, it has been refused."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        token = self.path.split("/")[1] if self.path.startswith("/") else ""
        if host not in self.server.hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "open the address as it was printed")
        elif origin is not None and origin != f"http://{host}":
            self._refuse(HTTPStatus.FORBIDDEN, "another page may not write here")
        elif not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address as it was printed: it ends in a code")
        else:
            return True
        return False

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # what it meant to send is not read
        self._reply(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def _reply(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": self.server.policy,
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


def coherence_scale() -> str:
    """The scale of coherence, word for word what the LLM judge is told."""
    text = INSTRUCTIONS["coherence"].split("\n\n")[1].partition(": ")[2]
    return text[0].upper() + text[1:]


def _scores(rating: Rating) -> dict[str, Any]:
    return {"behaviour": rating.behaviour, "coherence": rating.coherence, "skipped": rating.skipped}


def _as_read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
