"""The decode loop: a running batch that rows join and leave between steps.

`generate` runs one over requests that it knows from the start: rows are sorted by length, a finished row leaves at once
and a waiting one takes its slot. A server keeps one open for requests as they arrive. Which rows join when changes
nothing in what a row answers. Randomness belongs to the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from mindgap.backends.local import halving, prompts, sampling
from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.gates import decided
from mindgap.backends.local.rows import Batch, EditSets, Row, without
from mindgap.backends.local.running_text import ended, prompt_of, reply_of
from mindgap.backends.replies import completion_of
from mindgap.core.edits import Edit
from mindgap.core.errors import PromptError
from mindgap.core.records import Completion, Request
from mindgap.text.thoughts import Parted

ROOM = 256
"""The cache grows by so many positions at a time where its size was not given."""


@torch.inference_mode()
def generate(engine: Engine, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
    """Yield `(index, completion)` as rows finish. A request that cannot be answered is an error completion."""
    for finished in run(engine, requests):
        yield from finished


@torch.inference_mode()
def run(engine: Engine, requests: Sequence[Request]) -> Iterator[list[tuple[int, Completion]]]:
    """Likewise, with one list for every decode step, of what it finished; often empty."""
    waiting: list[Row] = []
    for index, request in enumerate(requests):
        try:
            prompt = _prompt(engine, request)
        except PromptError as error:
            yield [(index, Completion("", "error", error=str(error)))]
            continue
        if len(prompt) + request.decoding.max_tokens > engine.context:
            reason = (
                f"prompt of {len(prompt)} tokens plus max_tokens {request.decoding.max_tokens} exceeds "
                f"the model's context of {engine.context}"
            )
            yield [(index, Completion("", "error", prompt_tokens=len(prompt), error=reason))]
        else:
            uniform = sampling.draws(request.seed, request.decoding)
            until = request.until if request.as_text else None
            waiting.append(Row(index, prompt, request.decoding, uniform, request.edits, until=until))
    edits = decided(engine, [row.prompt for row in waiting], [row.edits for row in waiting])
    for row, some in zip(waiting, edits, strict=True):
        row.edits = some
    for alone in (False, True):
        rows = [row for row in waiting if (row.longest > engine.shared_context) == alone]
        yield from _run(engine, rows, edits, alone)


def _prompt(engine: Engine, request: Request) -> list[int]:
    """The tokens of a request's prompt. Raises PromptError."""
    if request.as_text:
        longest = engine.context - request.decoding.max_tokens
        return prompt_of(engine.chat.tokenizer, request.messages[0].content, longest)
    return engine.chat.prompt(request.messages, without_thought=request.without_thought)


def _run(
    engine: Engine, waiting: list[Row], edits: Sequence[tuple[Edit, ...]], alone: bool
) -> Iterator[list[tuple[int, Completion]]]:
    """`run` of rows that share passes, or that each are read `alone`."""
    before = engine.max_rows, engine.share
    while waiting:
        batch = _Waiting(engine, waiting, edits, alone)
        try:
            yield from batch.run()
            return
        except torch.OutOfMemoryError as error:
            reason = halving.why_too_large(error)
        # not in the handler: the error holds on to the tensors of the pass
        in_flight, rows = batch.stop()
        halving.free(engine)
        if rows > 1:
            engine.take_less(rows)
        else:
            waiting = [row for row in waiting if row not in in_flight]
            engine.max_rows, engine.share = before  # it was this row, and not the number of them
            yield [(row.index, Completion("", "error", len(row.prompt), error=reason)) for row in in_flight]


class _Waiting:
    """Rows that are generated as slots become free. `rows` keeps all that are not finished."""

    def __init__(self, engine: Engine, rows: list[Row], edits: Sequence[tuple[Edit, ...]], alone: bool) -> None:
        self.engine, self.rows, self.edits = engine, rows, edits
        # taken from the end: longest first, equal ones one after the other
        self._waiting = sorted(rows, key=lambda row: (len(row.prompt), row.prompt))
        longest = max(row.longest for row in rows)
        self._slots = min(engine.rows_in_memory(longest), len(rows))
        self._session: RunningBatch | None = open_session(
            engine, slots=self._slots, capacity=longest, edits=edits, alone=alone
        )
        self._in_flight: list[Row] = []

    def run(self) -> Iterator[list[tuple[int, Completion]]]:
        """A list for every decode step, of what it finished."""
        session, engine = self._session, self.engine
        assert session is not None
        while self._waiting or session.rows:
            free = self._slots - len(session.rows)
            # Waiting for a few free slots keeps the passes over prompts large enough to be efficient.
            if self._waiting and free >= max(1, self._slots // 8):
                joining = [self._waiting.pop() for _ in range(min(free, len(self._waiting)))]
                self._in_flight += joining
                session.admit(joining)
            session.step()
            finished = [slot for slot, row in enumerate(session.rows) if is_done(engine, row)]
            rows = [session.rows[slot] for slot in finished]
            session.remove(finished)
            for row in rows:
                self._in_flight.remove(row)
                self.rows.remove(row)
            yield [(row.index, completion(engine, row)) for row in rows]

    def stop(self) -> tuple[list[Row], int]:
        """Give up after memory ran out: the rows that were in the batch, without their replies, and its size."""
        self._session = None
        for row in self._in_flight:
            row.reply.clear()
            row.failed = None
        return self._in_flight, self._slots


def is_done(engine: Engine, row: Row) -> bool:
    """Whether the row's reply has come to its end, or cannot go on."""
    if row.failed is not None or row.reply[-1] in engine.stops or len(row.reply) == row.decoding.max_tokens:
        return True
    return _came_to_end(engine, row, row.reply)


def completion(engine: Engine, row: Row) -> Completion:
    """What the reply of a row that is done comes to."""
    if row.failed is not None:
        return Completion("", "error", len(row.prompt), len(row.reply), row.failed)
    stopped = row.reply[-1] in engine.stops
    tokens = row.reply[:-1] if stopped else row.reply
    stopped = stopped or _came_to_end(engine, row, tokens)
    if row.until is not None:
        parted, spoken = Parted(None, reply_of(engine.chat.tokenizer, tokens, row.until)), tokens
    else:
        parted, spoken = engine.chat.read(row.prompt, tokens)
    return completion_of(
        parted, cut=not stopped, prompt_tokens=len(row.prompt), completion_tokens=len(row.reply), tokens=spoken
    )


def _came_to_end(engine: Engine, row: Row, tokens: Sequence[int]) -> bool:
    """Whether what was written has come to where the reply ends by its text."""
    if row.until is not None:
        return ended(engine.chat.tokenizer, tokens, row.until)
    return engine.chat.at_next_turn(tokens)


class RunningBatch(Protocol):
    """Rows that are generated together. Not thread-safe."""

    rows: list[Row]

    def admit(self, rows: Sequence[Row]) -> None:
        """Have `rows` (at least one) take part from the next step on.

        Raises ValueError for edits that the model cannot take; nobody is admitted then.
        """

    def step(self) -> torch.Tensor:
        """Generate one token for every row, or say in `Row.failed` why there is none. There must be one row.

        Returns:
            The logits that the tokens were chosen by: `[rows, vocabulary]`.
        """

    def remove(self, slots: Sequence[int]) -> None:
        """Take out the rows at these indices of `rows`, in ascending order; the last rows move to their places."""


def open_session(
    engine: Engine, *, slots: int = 0, capacity: int = 0, edits: Sequence[tuple[Edit, ...]] = (), alone: bool = False
) -> RunningBatch:
    """A batch without rows.

    Args:
        engine: The model.
        slots: Rows that there is room for at first.
        capacity: Positions that there is room for at first; both grow as rows need it.
        edits: Of rows to come, as far as they are known, so that the steering is built once.
        alone: Whether rows are read by themselves, as those longer than `Engine.shared_context` have to be.
    """
    if engine.slots and not alone:
        return Session(engine, slots=slots, capacity=capacity, edits=edits)
    return RowByRow(engine, edits=edits)


class Session:
    """Rows in the slots of one cache; see `RunningBatch`, and `open_session` for the arguments."""

    def __init__(
        self, engine: Engine, *, slots: int = 0, capacity: int = 0, edits: Sequence[tuple[Edit, ...]] = ()
    ) -> None:
        self.engine = engine
        self.rows: list[Row] = []
        self.edit_sets = EditSets(engine, edits)
        self._cache = SlotCache(engine.layers, slots, capacity)
        self._batch: Batch | None = None

    @torch.inference_mode()
    def admit(self, rows: Sequence[Row]) -> None:
        """Read the prompts of `rows`, all but the last token; see `RunningBatch.admit`."""
        self.edit_sets.learn([row.edits for row in rows], self.rows)
        for row in rows:
            row.steering = self.edit_sets.number(row.edits)
        self._batch = None
        self._make_room(len(self.rows) + len(rows), 1 + max(row.position for row in (*self.rows, *rows)))
        to_read = [
            prompts.Prompt(row.prompt[:-1], row.steering, prompts.acting(row.edits, len(row.prompt) - 1))
            for row in rows
        ]
        order = prompts.read(self.engine, self._cache, self.edit_sets.steering, to_read, len(self.rows))
        self.rows += [rows[index] for index in order]

    @torch.inference_mode()
    def step(self) -> torch.Tensor:
        """See `RunningBatch.step`."""
        device, rows = self.engine.device, self.rows
        if self._batch is None:
            self._batch = Batch(rows, device)
            self.edit_sets.steering.rows_are(self._batch.steering, response=True, ends=self._batch.ends)
        span = 1 + max(row.position for row in rows)
        self._make_room(len(rows), span)
        tokens = torch.tensor([[row.next_token] for row in rows], device=device)
        positions = torch.tensor([[row.position] for row in rows], device=device)
        steering = self.edit_sets.steering
        logits = self.engine.pass_over_extension(tokens, positions, span, self._cache, steering)[:, -1]
        self._batch.choose(logits, rows)
        return logits

    @torch.inference_mode()
    def remove(self, slots: Sequence[int]) -> None:
        """See `RunningBatch.remove`."""
        if not slots:
            return
        self._batch = None
        keep = len(self.rows) - len(slots)
        gone = set(slots)
        holes = [slot for slot in slots if slot < keep]
        movers = [slot for slot in range(keep, len(self.rows)) if slot not in gone]
        if holes:
            length = max(self.rows[slot].position for slot in movers)
            device = self.engine.device
            self._cache.move(torch.tensor(movers, device=device), torch.tensor(holes, device=device), length)
        self.rows = without(self.rows, keep, holes, movers)

    def _make_room(self, rows: int, positions: int) -> None:
        """Room for so many rows of so many positions. Where it grows one way it may shrink the other."""
        cache = self._cache
        if rows > cache.slots:
            slots = max(rows, min(2 * cache.slots, self.engine.max_rows))
        elif positions > cache.capacity:
            slots = rows
        else:
            return
        cache.resize(slots, -(-positions // ROOM) * ROOM)


class RowByRow:
    """Rows that are each read by themselves; see `RunningBatch`.

    For models whose state no slot can hold, and for rows that grow longer than those that may share a pass.
    """

    def __init__(self, engine: Engine, *, edits: Sequence[tuple[Edit, ...]] = ()) -> None:
        self.engine = engine
        self.rows: list[Row] = []
        self.edit_sets = EditSets(engine, edits)
        self._caches: dict[Row, Any] = {}

    def admit(self, rows: Sequence[Row]) -> None:
        """See `RunningBatch.admit`."""
        self.edit_sets.learn([row.edits for row in rows], self.rows)
        for row in rows:
            row.steering = self.edit_sets.number(row.edits)
        self.rows += rows

    @torch.inference_mode()
    def step(self) -> torch.Tensor:
        """See `RunningBatch.step`."""
        logits = torch.stack([self._read(row) for row in self.rows])
        Batch(self.rows, self.engine.device).choose(logits, self.rows)
        return logits

    def _read(self, row: Row) -> torch.Tensor:
        """Logits `[vocabulary]` of the row's next token."""
        tokens, start = [*row.prompt, *row.reply], len(row.prompt) - 1
        steering = self.edit_sets.steering
        if self.engine.way == "no cache":
            return self.engine.pass_over_row(tokens, row.steering, steering, response_from=start)[-1]
        done = len(tokens) - 1 if row in self._caches else 0
        if done == self.engine.attention.shared:  # with this token, all of the row is read otherwise
            done = 0
            del self._caches[row]
        logits, self._caches[row] = self.engine.pass_with_own_cache(
            tokens[done:], self._caches.get(row), row.steering, steering, first=done, end=start
        )
        return logits

    def remove(self, slots: Sequence[int]) -> None:
        """See `RunningBatch.remove`."""
        for slot in slots:
            self._caches.pop(self.rows[slot], None)
        gone, keep = set(slots), len(self.rows) - len(slots)
        holes = [slot for slot in slots if slot < keep]
        movers = [slot for slot in range(keep, len(self.rows)) if slot not in gone]
        self.rows = without(self.rows, keep, holes, movers)
