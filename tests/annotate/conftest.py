"""A sweep to rate, its page served on loopback, and a browser to rate it in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sweeps import KINDS, QUERIES, write_sweep

from mindgap.annotate.server import AnnotationServer
from mindgap.results.cards import cards_of
from mindgap.results.rating_plan import planned
from mindgap.results.sweep import read_sweep

Serve = Callable[..., AnnotationServer]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Folder of a sweep of 3 cells, 3 queries and 4 items, whose responses try to break the page."""
    return write_sweep(tmp_path / "study", kinds=KINDS[:3], queries=QUERIES[:3], items=4, hostile=True)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers as the command does; they end with the test."""
    with ExitStack() as running:

        def start(folder: Path, rater: str = "anna", samples: int = 12) -> AnnotationServer:
            cards = cards_of(read_sweep(folder))
            plan = planned(folder, rater, cards, samples=samples)
            server = running.enter_context(AnnotationServer(folder, rater, plan.deck(rater, cards), cards.samples))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            running.callback(server.shutdown)
            return server

        yield start
