"""The thread that owns the model: replies of all clients in one batch, and whatever else needs the model in between.

Replies join the running batch at the next decode step and leave it when they are done or when nobody waits for them
any more. Other work comes as *tasks*, generators that do a little at a time; between two decode steps one task does
one of its steps, so nothing holds up the replies for longer than one pass through the model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mindgap.backends.local import sampling
from mindgap.backends.local.block_output import stream_of
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.rows import Row
from mindgap.backends.local.session import open_session
from mindgap.core.edits import Edit
from mindgap.core.records import Decoding
from mindgap.ember.controllers import Event
from mindgap.ember.errors import RequestError
from mindgap.ember.text import ReplyText

log = logging.getLogger(__name__)

PROMPT_TOKENS_PER_STEP = 1024
"""Most prompt tokens that are read between two decode steps, a single longer prompt excepted."""


@dataclass(frozen=True)
class Piece:
    """Part of a reply.

    Attributes:
        token: How many came before.
        finish_reason: None until the last piece.
        tokens: In the reply.
        error: Why there is no reply.
    """

    token: int
    text: str
    events: tuple[str, ...] = ()
    finish_reason: str | None = None
    tokens: int = 0
    error: str | None = None


@dataclass(eq=False)
class Generation:
    """One reply asked for.

    Attributes:
        deliver: Called in the model's thread with each piece; the last one ends it.
        whole: Only the last piece is wanted, with all of the text.
        stop_tokens: Beside the model's own.
    """

    prompt: list[int]
    decoding: Decoding
    seed: int
    deliver: Callable[[Piece], None]
    edits: tuple[Edit, ...] = ()
    events: tuple[Event, ...] = ()
    stops: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    whole: bool = False
    cancelled: bool = False
    asked: float = field(default_factory=time.monotonic)

    @property
    def longest(self) -> int:
        return len(self.prompt) + self.decoding.max_tokens


@dataclass(eq=False)
class _Active(Row):
    """A generation in the batch.

    Attributes:
        happened: Events that have not been told yet, in order.
        seen: All so far.
    """

    generation: Generation = None  # type: ignore[assignment]  # always given; `Row` has defaults
    text: ReplyText = None  # type: ignore[assignment]
    happened: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


@dataclass
class Counts:
    """What has been done so far; only the model's thread writes."""

    steps: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    replies: int = 0
    cancelled: int = 0
    failed: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0
    reply_seconds: float = 0.0
    """Of one reply, a moving average."""
    first_token_buckets: dict[float, int] = field(
        default_factory=lambda: dict.fromkeys((0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0), 0)
    )


Task = Generator[None, None, Any]


class Worker:
    """queue: most replies, and most tasks, that may wait. Use as a context manager: leaving it stops the thread."""

    def __init__(self, engine: Engine, *, queue: int) -> None:
        self.engine, self._most_waiting = engine, queue
        self.counts = Counts()
        self._changed = threading.Condition()
        self._waiting: deque[Generation] = deque()
        self._tasks: deque[tuple[Task, Future[Any]]] = deque()
        self._at_a_task = False
        self._stopping = self._died = False
        self._session = open_session(engine)
        self._memory = 0
        self._watch = _Watch(engine)
        self._thread = threading.Thread(target=self._run, name="ember-model", daemon=True)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def active(self) -> int:
        return len(self._session.rows)

    @property
    def tasks(self) -> int:
        """Tasks that are not done: those that wait for their turn, and the one that has it."""
        with self._changed:
            return len(self._tasks) + self._at_a_task

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, generations: Sequence[Generation]) -> None:
        """Queue replies, all or none. Raises RequestError, 429, when the queue is full."""
        with self._changed:
            self._check_running()
            if len(self._waiting) + len(generations) > self._most_waiting:
                seconds = self.counts.reply_seconds * len(self._waiting) / self.engine.max_rows
                raise RequestError(
                    429,
                    f"Rate limit exceeded: {len(self._waiting)} requests are waiting for the model. Try again later.",
                    retry_after=max(1, min(60, round(seconds))),
                )
            self._waiting.extend(generations)
            self._changed.notify()

    def cancel(self, generations: Iterable[Generation]) -> None:
        """Nobody waits for these any more: they leave at the next step, without another piece."""
        with self._changed:
            for generation in generations:
                generation.cancelled = True
            self._changed.notify()

    def run(self, task: Task) -> Future[Any]:
        """Have the model's thread run `task`; the future has what it returns. Raises RequestError, 429, when full."""
        future: Future[Any] = Future()
        with self._changed:
            self._check_running()
            if len(self._tasks) >= self._most_waiting:
                raise RequestError(429, "Rate limit exceeded: the model is busy. Try again later.", retry_after=5)
            self._tasks.append((task, future))
            self._changed.notify()
        return future

    def _check_running(self) -> None:
        if self._stopping:
            raise RequestError(503, "The server is stopping.", retry_after=10)
        if self._died:
            raise RequestError(503, "The thread that owns the model has ended; the server has to be started again.")

    # -- the model's thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Serve until the worker is stopped. However this thread ends, nobody is left waiting for it."""
        reason = "the server stopped"
        try:
            self._serve()
        except BaseException:  # nothing is above this thread that could hear of it
            log.exception("the model's thread has ended")
            reason = "the thread that owns the model has ended"
        with self._changed:
            self._died = not self._stopping
        self._fail([], reason, everybody=True)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._tasks or self._session.rows or self._stopping):
                    self._changed.wait()
                if self._stopping:
                    return
                self._waiting = deque(waiting for waiting in self._waiting if not waiting.cancelled)
                joining, refused = self._joining()
            for generation, error in refused:
                self._end(generation, f"the request cannot be run ({type(error).__name__}: {error})")
            try:
                self._advance(joining)
            except Exception as error:
                log.exception("a decode step failed")
                if isinstance(error, torch.OutOfMemoryError):
                    self.engine.take_less(len(self._rows) + len(joining))
                self._fail(joining, f"the model failed ({type(error).__name__})")
            self._do_a_task()

    def _joining(self) -> tuple[list[Generation], list[tuple[Generation, Exception]]]:
        """Waiting generations that there is room for, in order of arrival, and those that cannot be run, with why."""
        joining: list[Generation] = []
        refused: list[tuple[Generation, Exception]] = []
        room: _Room | None = None
        while self._waiting and len(self._session.rows) + len(joining) < self.engine.max_rows:
            generation = self._waiting[0]
            try:
                room = room or self._room()
                if not room.take(generation):
                    break
            except Exception as error:
                log.exception("a request cannot join the batch")
                refused.append((self._waiting.popleft(), error))
                continue
            joining.append(self._waiting.popleft())
        return joining, refused

    def _room(self) -> _Room:
        rows = self._rows
        if not rows:
            self._memory = self.engine.free_memory() // 2
        longest = max((row.generation.longest for row in rows), default=0)
        return _Room(self.engine, self._memory, len(rows), longest)

    def _advance(self, joining: Sequence[Generation]) -> None:
        self._remove([slot for slot, row in enumerate(self._rows) if row.generation.cancelled])
        session = self._session
        if joining:
            session.admit([self._row(generation) for generation in joining])
            self.counts.prompt_tokens += sum(len(generation.prompt) for generation in joining)
        if not session.rows:
            return
        self._watch.over(self._rows)
        session.step()
        self.counts.steps += 1
        self.counts.tokens += len(session.rows)
        self._watch.report(self._rows)
        self._remove([slot for slot, row in enumerate(self._rows) if self._deliver(row)])

    @property
    def _rows(self) -> list[_Active]:
        return self._session.rows  # type: ignore[return-value]  # nobody else admits rows

    def _row(self, generation: Generation) -> _Active:
        uniform = sampling.draws(generation.seed, generation.decoding)
        text = ReplyText(self.engine.tokenizer, (*generation.stops, *self.engine.chat.next_turns))
        return _Active(
            0, generation.prompt, generation.decoding, uniform, generation.edits, generation=generation, text=text
        )

    def _deliver(self, row: _Active) -> bool:
        """Give out what the last token brought; whether the reply is over."""
        if row.failed is not None:
            self._end(row.generation, row.failed)
            return True
        generation, token, count = row.generation, row.reply[-1], len(row.reply)
        if count == 1:
            self._count_first_token(time.monotonic() - generation.asked)
        ended = token in self.engine.stops or token in generation.stop_tokens
        new = "" if ended else row.text.push(token)
        ended = ended or row.text.stopped
        over = ended or count == generation.decoding.max_tokens
        events = () if generation.whole else tuple(row.happened)
        if over:
            new += row.text.finish()
            reason = "stop" if ended else "length"
            text, events = (row.text.text, tuple(row.happened)) if generation.whole else (new, events)
            generation.deliver(Piece(count - 1, text, events, reason, count))
            self.counts.replies += 1
            took = time.monotonic() - generation.asked
            self.counts.reply_seconds += 0.1 * (took - self.counts.reply_seconds)
        elif not generation.whole and (new or events):
            generation.deliver(Piece(count - 1, new, events))
        if not generation.whole:
            row.happened.clear()
        return over

    def _count_first_token(self, seconds: float) -> None:
        self.counts.first_tokens += 1
        self.counts.first_token_seconds += seconds
        for bound in self.counts.first_token_buckets:
            self.counts.first_token_buckets[bound] += seconds <= bound

    def _remove(self, slots: Sequence[int]) -> None:
        self.counts.cancelled += sum(self._rows[slot].generation.cancelled for slot in slots)
        self._session.remove(slots)
        if slots and not self._session.rows:
            self._session = open_session(self.engine)  # gives back the cache's memory

    def _fail(self, joining: Iterable[Generation], reason: str, *, everybody: bool = False) -> None:
        """Everybody in the batch, or about to be, is told why there is no reply; a new batch is begun.

        Args:
            everybody: Those that wait, too, and tasks: the thread is about to end.
        """
        with self._changed:
            failed = list(dict.fromkeys([*(row.generation for row in self._rows), *joining]))
            self._session = open_session(self.engine)
            tasks = list(self._tasks) if everybody else []
            if everybody:
                failed += self._waiting
                self._waiting.clear()
                self._tasks.clear()
        for generation in failed:
            self._end(generation, reason)
        for _, future in tasks:
            if _begun(future):
                future.set_exception(RequestError(503, reason))

    def _end(self, generation: Generation, reason: str) -> None:
        """Tell one why there is no reply. Whoever cannot be told holds up nobody else."""
        self.counts.failed += 1
        try:
            generation.deliver(Piece(0, "", finish_reason="error", error=reason))
        except Exception:
            log.exception("a request could not be told that it failed")

    def _do_a_task(self) -> None:
        with self._changed:
            if not self._tasks:
                return
            task, future = self._tasks.popleft()
            self._at_a_task = True
        goes_on = _step(task, future)
        with self._changed:
            self._at_a_task = False
            if goes_on:
                self._tasks.append((task, future))


class _Room:
    """What may still join a batch: by memory, and by prompt tokens of one step."""

    def __init__(self, engine: Engine, memory: int, rows: int, longest: int) -> None:
        self._engine, self._memory = engine, memory
        self._rows, self._joined, self._longest, self._prompt_tokens = rows, 0, longest, 0

    def take(self, generation: Generation) -> bool:
        """Whether there is room for the generation; if so it is taken up. A batch is never refused its first row."""
        longest, count = max(self._longest, generation.longest), self._rows + self._joined + 1
        prompt_tokens = self._prompt_tokens + len(generation.prompt)
        if count > 1 and count * self._engine.row_memory(longest) > self._memory:
            return False
        if self._joined and prompt_tokens > PROMPT_TOKENS_PER_STEP:
            return False
        self._longest, self._prompt_tokens, self._joined = longest, prompt_tokens, self._joined + 1
        return True


def _step(task: Task, future: Future[Any]) -> bool:
    """A little of the task, if anybody still wants it; whether there is more of it to do."""
    if not _begun(future):
        return False
    try:
        next(task)
    except StopIteration as done:
        future.set_result(done.value)
        return False
    except Exception as error:  # noqa: BLE001 - belongs to whoever waits for the task
        future.set_exception(error)
        return False
    return True


def _begun(future: Future[Any]) -> bool:
    """Whether its task is under way from now on, or was before; False if nobody wants it any more."""
    return future.running() or future.set_running_or_notify_cancel()


class _Watch:
    """Looks for events: reads what a decode step puts out of the SAE's block, before it is edited there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._handle: torch.utils.hooks.RemovableHandle | None = None
        self._stream: torch.Tensor | None = None

    def over(self, rows: Sequence[_Active]) -> None:
        """Whether the next step has to be watched; a batch without events costs nothing."""
        wanted = any(row.generation.events for row in rows)
        if wanted and self._handle is None and self._engine.sae is not None:
            block = self._engine.blocks[self._engine.sae.layer]
            self._handle = block.register_forward_hook(self._keep)  # before steering's, which come with each pass
        elif not wanted and self._handle is not None:
            self._handle.remove()
            self._handle = self._stream = None

    @torch.inference_mode()
    def report(self, rows: Sequence[_Active]) -> None:
        """Add to each row's `happened` what happens for the first time."""
        if self._handle is None or self._stream is None:
            return
        sae = self._engine.sae
        assert sae is not None
        sae = (self._engine.resident_sae if sae.k is not None else sae) or sae
        for slot, row in enumerate(rows):
            left = [event for event in row.generation.events if event.name not in row.seen]
            if not left:
                continue
            features = sorted(frozenset().union(*(event.features for event in left)))
            values = sae.activations(self._stream[slot, -1].float(), features).tolist()
            activations = dict(zip(features, values, strict=True))
            for event in left:
                if event.happens(activations):
                    row.happened.append(event.name)
                    row.seen.add(event.name)

    def _keep(self, module: nn.Module, args: object, output: Any) -> None:
        self._stream = stream_of(output)
