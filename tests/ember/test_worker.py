"""The thread that owns the model tells everybody what became of their request, also when things break."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("pydantic")

from mindgap.backends.local.engine import Engine
from mindgap.backends.local.session import Session
from mindgap.core.records import Decoding
from mindgap.ember.errors import RequestError
from mindgap.ember.worker import Generation, Piece, Worker

PROMPT = [5, 6, 7, 8]


@pytest.fixture(scope="module")
def engine(small_model: SimpleNamespace) -> Engine:
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=4)
    engine.stops = frozenset()
    return engine


def asked(tokens: int = 5, **more: Any) -> tuple[Generation, queue.Queue[Piece]]:
    pieces: queue.Queue[Piece] = queue.Queue()
    return Generation(PROMPT, Decoding(tokens, 0), 0, pieces.put, **more), pieces


def endless() -> Iterator[None]:
    while True:
        yield


def test_pieces_come_one_by_one_and_the_last_says_why(engine: Engine) -> None:
    with Worker(engine, queue=4) as worker:
        streamed, pieces = asked()
        whole, at_once = asked(whole=True)
        worker.submit([streamed, whole])
        got = [pieces.get(timeout=60)]
        while got[-1].finish_reason is None:
            got.append(pieces.get(timeout=60))
        last = at_once.get(timeout=60)
    assert [piece.token for piece in got] == list(range(5))
    assert "".join(piece.text for piece in got) == last.text
    assert (last.finish_reason, last.tokens) == ("length", 5)


def test_a_step_that_fails_is_told_and_the_next_request_is_answered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Session.step
    broken = iter([RuntimeError("out of memory")])

    def once_broken(session: Session) -> Any:
        if (error := next(broken, None)) is not None:
            raise error
        return step(session)

    monkeypatch.setattr(Session, "step", once_broken)
    with Worker(engine, queue=4) as worker:
        unlucky, pieces = asked()
        worker.submit([unlucky])
        assert "RuntimeError" in (pieces.get(timeout=60).error or "")
        lucky, at_once = asked(whole=True)
        worker.submit([lucky])
        assert at_once.get(timeout=60).finish_reason == "length"
        assert worker.alive
    assert worker.counts.failed == 1


def test_a_request_that_cannot_join_fails_alone_and_the_worker_lives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_memory = engine.row_memory

    def memory(tokens: int) -> int:
        if tokens > 1000:
            raise OverflowError("so long a row cannot be counted")
        return row_memory(tokens)

    monkeypatch.setattr(engine, "row_memory", memory)
    with Worker(engine, queue=8) as worker:
        first, first_pieces = asked(20)
        impossible, pieces = asked(5000)
        after, after_pieces = asked(whole=True)
        worker.submit([first, impossible, after])
        assert "OverflowError: so long a row" in (pieces.get(timeout=60).error or "")
        assert after_pieces.get(timeout=60).finish_reason == "length"
        while (piece := first_pieces.get(timeout=60)).finish_reason is None:
            pass
        assert piece.finish_reason == "length" and worker.alive


def test_one_who_cannot_be_told_of_a_failure_holds_up_nobody(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(tokens: int) -> int:
        raise OverflowError

    def deaf(piece: Piece) -> None:
        raise ConnectionError("gone")

    with Worker(engine, queue=8) as worker, monkeypatch.context() as patch:
        patch.setattr(engine, "row_memory", memory)
        blocked, blocked_pieces = asked()
        worker.submit([asked(50)[0], Generation(PROMPT, Decoding(5, 0), 0, deaf), blocked])
        assert blocked_pieces.get(timeout=60).error
        patch.undo()
        lucky, at_once = asked(whole=True)
        worker.submit([lucky])
        assert at_once.get(timeout=60).finish_reason == "length"


def test_when_the_thread_has_ended_who_waits_is_told_and_new_requests_get_503(engine: Engine) -> None:
    def fatal() -> Iterator[None]:
        yield
        raise SystemExit

    worker = Worker(engine, queue=8)
    with worker:
        waiting, pieces = asked(10_000)
        worker.submit([waiting])
        pieces.get(timeout=60)
        worker.run(fatal())  # type: ignore[arg-type]
        while (piece := pieces.get(timeout=60)).finish_reason is None:
            pass
        assert "has ended" in (piece.error or "")
        for ask in (lambda: worker.submit([asked()[0]]), lambda: worker.run(endless())):  # type: ignore[arg-type]
            with pytest.raises(RequestError, match="has to be started again") as refused:
                ask()
            assert refused.value.status == 503
    assert not worker.alive


def test_a_stop_tells_all_who_wait(engine: Engine) -> None:
    worker = Worker(engine, queue=4)
    with worker:
        forever = worker.run(endless())  # type: ignore[arg-type]
        waiting, pieces = asked(10_000)
        worker.submit([waiting])
        pieces.get(timeout=60)
    assert isinstance(forever.exception(timeout=60), RequestError)
    while (last := pieces.get(timeout=60)).finish_reason is None:
        pass
    assert last.error == "the server stopped"
    with pytest.raises(RequestError) as refused:
        worker.submit([waiting])
    assert refused.value.status == 503


def test_a_task_that_fails_fails_alone_and_a_cancelled_one_is_not_done(engine: Engine) -> None:
    done: list[str] = []

    def failing() -> Iterator[None]:
        yield
        raise ValueError("mine")

    def noted(name: str) -> Iterator[None]:
        done.append(name)
        yield

    with Worker(engine, queue=4) as worker:
        first = worker.run(failing())  # type: ignore[arg-type]
        second = worker.run(noted("second"))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="mine"):
            first.result(60)
        assert second.result(60) is None
    assert done == ["second"]


def test_the_queue_is_bounded_for_replies_and_tasks(engine: Engine) -> None:
    worker = Worker(engine, queue=2)  # not running
    worker.submit([asked()[0], asked()[0]])
    with pytest.raises(RequestError) as full:
        worker.submit([asked()[0]])
    assert (full.value.status, full.value.retry_after) == (429, 1)
    for _ in range(2):
        worker.run(endless())  # type: ignore[arg-type]
    with pytest.raises(RequestError) as busy:
        worker.run(endless())  # type: ignore[arg-type]
    assert busy.value.status == 429
