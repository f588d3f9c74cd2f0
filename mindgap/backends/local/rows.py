"""Rows of a running batch: what each is, what is done inside the model for all of them, how their tokens are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mindgap.backends.local import sampling
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.steering import Steering
from mindgap.core.edits import Edit
from mindgap.core.records import Decoding

FORGOTTEN = 64
"""How many sets of edits that no row has any more are remembered before they are dropped."""
NOT_NUMBERS = "the model's logits are not finite numbers: the steering is too strong, or the weights are damaged"


@dataclass(eq=False)
class Row:
    """One reply on its way through a batch.

    Attributes:
        index: The caller's number for it.
        prompt: Its tokens, at least one.
        decoding: How its tokens are chosen.
        uniform: A random number for each token that it may generate.
        edits: What is done inside the model.
        reply: What has been generated, the token that ended it included.
        steering: Which of the session's sets of edits it has.
        failed: Why it cannot go on; None while it can.
        until: Texts at which the reply to a prompt without a chat template ends; None where it has one.
    """

    index: int
    prompt: list[int]
    decoding: Decoding
    uniform: np.ndarray
    edits: tuple[Edit, ...] = ()
    reply: list[int] = field(default_factory=list)
    steering: int = 0
    failed: str | None = None
    until: tuple[str, ...] | None = None

    @property
    def longest(self) -> int:
        """Tokens of prompt and reply together, at most."""
        return len(self.prompt) + self.decoding.max_tokens

    @property
    def next_token(self) -> int:
        return self.reply[-1] if self.reply else self.prompt[-1]

    @property
    def position(self) -> int:
        """Where `next_token` goes in the row's slot."""
        return len(self.prompt) - 1 + len(self.reply)


class EditSets:
    """The sets of edits that rows of a batch have, numbered, and the steering made of them."""

    def __init__(self, engine: Engine, edits: Sequence[tuple[Edit, ...]]) -> None:
        self._engine = engine
        self._sets: dict[tuple[str, ...], tuple[int, tuple[Edit, ...]]] = {}
        self.steering: Steering = engine.steering([()])
        self.learn(edits, ())

    def __len__(self) -> int:
        return len(self._sets)

    def learn(self, edits: Sequence[tuple[Edit, ...]], rows: Sequence[Row]) -> None:
        """Have the steering know these sets, beside those that `rows` have; each row is told the number of its own."""
        if all(_key(edit_set) in self._sets for edit_set in edits):
            return
        sets = dict(self._sets)
        if len(sets) > len(rows) + FORGOTTEN:
            sets.clear()
            edits = [*(row.edits for row in rows), *edits]
        for edit_set in edits:
            sets.setdefault(_key(edit_set), (len(sets), edit_set))
        self.steering = self._engine.steering([edit_set for _, edit_set in sets.values()])
        self._sets = sets
        for row in rows:
            row.steering = sets[_key(row.edits)][0]

    def number(self, edits: tuple[Edit, ...]) -> int:
        """The number of a set that is known."""
        return self._sets[_key(edits)][0]


class Batch:
    """What stays the same from step to step while the same rows are there: tensors `[rows]` on the device."""

    def __init__(self, rows: Sequence[Row], device: torch.device) -> None:
        self.steering = torch.tensor([row.steering for row in rows], dtype=torch.long, device=device)
        self.ends = torch.tensor([len(row.prompt) - 1 for row in rows], dtype=torch.long, device=device)
        self.temperature = torch.tensor([row.decoding.temperature for row in rows], device=device)
        self.top_p = torch.tensor([row.decoding.top_p for row in rows], device=device)

    def choose(self, logits: torch.Tensor, rows: Sequence[Row]) -> None:
        """Add the next token to every row; one without usable logits is failed and gets none."""
        uniform = torch.tensor([row.uniform[len(row.reply)] for row in rows], device=logits.device)
        tokens: list[int] = sampling.choose(logits, self.temperature, self.top_p, uniform).tolist()
        for row, token in zip(rows, tokens, strict=True):
            if token == sampling.BROKEN:
                row.failed = NOT_NUMBERS
            else:
                row.reply.append(token)


def without(rows: Sequence[Row], keep: int, holes: Sequence[int], movers: Sequence[int]) -> list[Row]:
    kept = list(rows[:keep])
    for hole, mover in zip(holes, movers, strict=True):
        kept[hole] = rows[mover]
    return kept


def _key(edits: Sequence[Edit]) -> tuple[str, ...]:
    return tuple(edit.key for edit in edits)
