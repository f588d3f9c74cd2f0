"""A running batch that rows join and leave between decode steps.

`Engine.generate` runs one over requests that it knows from the start; a server keeps one open for requests as they
arrive. Which rows join when is the caller's business: it changes nothing in what a row answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from mindgap.backends.local.cache import SlotCache
from mindgap.core.edits import Edit
from mindgap.core.records import Decoding

if TYPE_CHECKING:
    from mindgap.backends.local.engine import Engine

PROMPT_TOKENS_PER_PASS = 4096
"""Most tokens, padding included, that one pass over prompts or scored texts carries."""
ROOM = 256
"""The cache grows by so many positions at a time where its size was not given."""
FORGOTTEN = 64
"""How many sets of edits that no row has any more are remembered before they are dropped."""


@dataclass(eq=False)
class Row:
    """One reply on its way through a batch.

    index: the caller's number for it. prompt: its tokens, at least one. uniform: a random number for each token that
    it may generate. reply: what has been generated, the token that ended it included. steering: which of the
    session's sets of edits it has.
    """

    index: int
    prompt: list[int]
    decoding: Decoding
    uniform: np.ndarray
    edits: tuple[Edit, ...] = ()
    reply: list[int] = field(default_factory=list)
    steering: int = 0

    @property
    def next_token(self) -> int:
        return self.reply[-1] if self.reply else self.prompt[-1]

    @property
    def position(self) -> int:
        """Where `next_token` goes in the row's slot."""
        return len(self.prompt) - 1 + len(self.reply)


class Session:
    """Rows that are generated together. Not thread-safe.

    slots, capacity: rows and positions that there is room for at first; it grows as rows need it. edits: the edits of
    rows to come, as far as they are known, so that the steering is built once.
    """

    def __init__(
        self, engine: Engine, *, slots: int = 0, capacity: int = 0, edits: Sequence[tuple[Edit, ...]] = ()
    ) -> None:
        self.engine = engine
        self.rows: list[Row] = []
        self._cache = SlotCache(engine.layers, slots, capacity)
        self._sets: dict[tuple[str, ...], tuple[int, tuple[Edit, ...]]] = {}
        self._steering = engine.steering([()])
        self._batch: Batch | None = None
        self._learn(edits)

    @torch.inference_mode()
    def admit(self, rows: Sequence[Row]) -> None:
        """Read the prompts of `rows` (at least one), all but the last token; they take part from the next step on.

        Raises ValueError for edits that the model cannot take; nobody is admitted then.
        """
        self._learn([row.edits for row in rows])
        for row in rows:
            row.steering = self._sets[_key(row.edits)][0]
        self._batch = None
        waiting = sorted(rows, key=lambda row: len(row.prompt), reverse=True)
        self._make_room(len(self.rows) + len(waiting), 1 + max(row.position for row in (*self.rows, *waiting)))
        while waiting:
            width = len(waiting[0].prompt) - 1
            group = waiting[: max(1, PROMPT_TOKENS_PER_PASS // max(1, width))]
            if width > 0:
                self._cache.begin_prompts(len(self.rows))
                prompts, steering = [row.prompt[:-1] for row in group], [row.steering for row in group]
                self.engine.pass_over_prompts(prompts, steering, self._cache, self._steering)
            self.rows += group
            del waiting[: len(group)]

    @torch.inference_mode()
    def step(self) -> None:
        """Generate one token for every row. There must be one."""
        if self._batch is None:
            self._batch = Batch(self.rows, self.engine.device)
            self._steering.rows_are(self._batch.steering, response=True)
        self._make_room(len(self.rows), 1 + max(row.position for row in self.rows))
        tokens = self.engine._step(self.rows, self._batch, self._cache, self._steering)
        for row, token in zip(self.rows, tokens, strict=True):
            row.reply.append(token)

    @torch.inference_mode()
    def remove(self, slots: Sequence[int]) -> None:
        """Take out the rows at these indices of `rows`, in ascending order; the last rows move to their places."""
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
        kept = self.rows[:keep]
        for hole, mover in zip(holes, movers, strict=True):
            kept[hole] = self.rows[mover]
        self.rows = kept

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

    def _learn(self, edits: Sequence[tuple[Edit, ...]]) -> None:
        """Have the steering know these sets of edits, beside those that rows have."""
        if all(_key(some) in self._sets for some in edits):
            return
        known = self._sets
        if len(known) > len(self.rows) + FORGOTTEN:
            known = {}
            edits = [*(row.edits for row in self.rows), *edits]
        sets = dict(known)
        for some in edits:
            sets.setdefault(_key(some), (len(sets), some))
        self._steering = self.engine.steering([some for _, some in sets.values()])
        self._sets = sets
        for row in self.rows:
            row.steering = sets[_key(row.edits)][0]


class Batch:
    """What stays the same from step to step while the same rows are there: tensors `[rows]` on the device."""

    def __init__(self, rows: Sequence[Row], device: torch.device) -> None:
        self.steering = torch.tensor([row.steering for row in rows], dtype=torch.long, device=device)
        self.temperature = torch.tensor([row.decoding.temperature for row in rows], device=device)
        self.top_p = torch.tensor([row.decoding.top_p for row in rows], device=device)


def _key(edits: Sequence[Edit]) -> tuple[str, ...]:
    return tuple(edit.key for edit in edits)
