"""Serves the rating page to one person on this machine, guarded as `mindgap.cli.loopback` says.

A write must be JSON from our own origin, which no other page can send.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mindgap.cli.loopback import GuardedHandler, LoopbackServer, page_of, policy_of
from mindgap.judges.prompts import INSTRUCTIONS
from mindgap.results.cards import Card
from mindgap.results.ratings import Rating, append_rating, read_ratings

HERE = Path(__file__).resolve().parent
LONGEST = 10_000
"""Bytes of a rating; a real one is 200."""


class AnnotationServer(LoopbackServer):
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

    def __init__(
        self, folder: Path, rater: str, deck: Sequence[Card], samples: Mapping[str, Sequence[str]], port: int = 0
    ) -> None:
        self.folder, self.rater, self.deck, self.samples = folder, rater, tuple(deck), samples
        self.writing = threading.Lock()
        super().__init__(_Handler, port)

    @cached_property
    def page(self) -> bytes:
        """The page with its style and script inside."""
        return page_of(HERE)

    @cached_property
    def policy(self) -> str:
        """What the page may do: run its own script and style, ask this server, and nothing else."""
        return policy_of(HERE)

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


class _Handler(GuardedHandler):
    server: AnnotationServer

    def do_GET(self) -> None:
        if not self.allowed():
            return
        if self.path == f"/{self.server.token}/":
            self.reply(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page, self.server.policy)
        elif self.path == f"/{self.server.token}/cards":
            self.reply(HTTPStatus.OK, "application/json", json.dumps(self.server.state()).encode(), self.server.policy)
        else:
            self.refuse(HTTPStatus.NOT_FOUND, "nothing here")

    def do_POST(self) -> None:
        if not self.allowed():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != f"/{self.server.token}/ratings":
            self.refuse(HTTPStatus.NOT_FOUND, "nothing here")
        elif self.headers.get_content_type() != "application/json":
            self.refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a rating is application/json")
        elif not length.isdecimal() or int(length) > LONGEST:
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a rating has a length, of at most {LONGEST}")
        else:
            try:
                self.server.save(json.loads(self.rfile.read(int(length))))
            except (ValueError, TypeError) as error:
                self.refuse(HTTPStatus.BAD_REQUEST, str(error))
            except OSError as error:
                self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"the rating could not be written: {error}")
            else:
                self.reply(HTTPStatus.OK, "application/json", b"{}", self.server.policy)


def coherence_scale() -> str:
    """The scale of coherence, word for word what the LLM judge is told."""
    text = INSTRUCTIONS["coherence"].split("\n\n")[1].partition(": ")[2]
    return text[0].upper() + text[1:]


def _scores(rating: Rating) -> dict[str, Any]:
    return {"behaviour": rating.behaviour, "coherence": rating.coherence, "skipped": rating.skipped}
