"""Direction edits inside a batch: what is done along a direction, at which tokens, how it fades.

A pass computes for the rows that have any, and for nothing else: one small matrix product for the projections, the
change of each edit by its kind, and one product back. Conditions on prompts are decided before, in `gates.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
import torch

from mindgap.core.directions import DirectionEdit, Operation, window

KINDS = {operation: number for number, operation in enumerate(get_args(Operation))}


class _Sets(NamedTuple):
    """Distinct sets of edits: `[sets, edits]` each. Set 0 is empty; padding has share 0."""

    vector: torch.Tensor  # rows of the table of directions
    second: torch.Tensor  # likewise; 0 where there is none
    kind: torch.Tensor  # `KINDS`
    share: torch.Tensor  # of both kinds of add: the length that is added
    low: torch.Tensor
    high: torch.Tensor
    angle: torch.Tensor  # radians
    offset: torch.Tensor
    first: torch.Tensor  # the window, four bounds
    last: torch.Tensor
    begin: torch.Tensor
    end: torch.Tensor
    fading: torch.Tensor  # per token of the reply: exp(-fading t); 0 where it stays


@dataclass(frozen=True)
class DirectionPass:
    """The edits of the running pass.

    Attributes:
        rows: Which rows of the batch have any.
        sets: Theirs, one a row.
        ends: `[rows]`, index of each one's last prompt token.
        units: `[rows, edits, d_model]`.
        seconds: Likewise; None where no edit of the run has a second direction.
        real: `[rows, tokens]` or None.
    """

    rows: torch.Tensor
    sets: _Sets
    ends: torch.Tensor
    units: torch.Tensor
    seconds: torch.Tensor | None
    real: torch.Tensor | None


class DirectionTable:
    """What the direction edits of a run need at one block, on the device."""

    def __init__(self, requests: Sequence[Sequence[DirectionEdit]], d_model: int, device: torch.device) -> None:
        known: dict[tuple[str, ...], int] = {(): 0}
        sets: list[Sequence[DirectionEdit]] = [()]
        numbers = []
        for edits in requests:
            key = tuple(edit.key for edit in edits)
            if key not in known:
                known[key] = len(sets)
                sets.append(edits)
            numbers.append(known[key])
        self._numbers = torch.tensor(numbers, device=device)
        arrays, directions = _tabulate(sets, d_model)
        self._sets = _Sets(*(torch.as_tensor(array, device=device) for array in arrays))
        self._directions = torch.as_tensor(directions, device=device)
        self._has_seconds = any(edit.second is not None for edits in sets for edit in edits)

    def for_rows(
        self, requests: torch.Tensor, *, ends: torch.Tensor, real: torch.Tensor | None
    ) -> DirectionPass | None:
        """What a pass of these rows needs, None where no row has direction edits; see `Steering.rows_are`."""
        numbers = self._numbers[requests]
        rows = numbers.nonzero()[:, 0]
        if not len(rows):
            return None
        sets = _Sets(*(part[numbers[rows]] for part in self._sets))
        units = self._directions[sets.vector]
        seconds = self._directions[sets.second] if self._has_seconds else None
        return DirectionPass(rows, sets, ends[rows], units, seconds, None if real is None else real[rows])

    def change(
        self, now: DirectionPass, unedited: torch.Tensor, steered: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        """`steered` with the pass's edits, computed from `unedited`: all `[rows, tokens, d_model]`.

        Args:
            positions: `[rows, tokens]`, index of each token in its row's text.
        """
        x = unedited[now.rows].float()
        sets = _Sets(*(part[:, None] for part in now.sets))
        along = x @ now.units.transpose(1, 2)  # [rows, tokens, edits], like all that follows
        amount = sets.share * _weights(now, sets, positions[now.rows])
        norm = x.norm(dim=-1, keepdim=True)
        added = (norm**2 + 2 * amount * along + amount**2).clamp_min(1e-24).sqrt()
        kept = torch.where((sets.kind == KINDS["add_constant_norm"]) & (amount != 0), norm / added, 1.0)
        bounded = torch.minimum(torch.maximum(along, sets.low), sets.high)
        change = torch.where(sets.kind <= KINDS["add_constant_norm"], amount * kept, amount * (bounded - along))
        if now.seconds is not None:
            across = x @ now.seconds.transpose(1, 2)
            reads = sets.kind == KINDS["rank_one"]
            change = torch.where(reads, amount * (across + sets.offset), change)
            radius, angle = torch.hypot(along, across), torch.atan2(across, along)
            turned = angle + amount * _turn(sets.angle - angle)
            rotates = (sets.kind == KINDS["rotate"]) & (amount != 0)
            change = torch.where(rotates, radius * turned.cos() - along, change)
            sideways = torch.where(rotates, radius * turned.sin() - across, 0.0) @ now.seconds
        else:
            sideways = torch.zeros((), device=x.device)
        total = change @ now.units + sideways + (kept - 1).sum(-1, keepdim=True) * x
        return steered.index_add(0, now.rows, total.to(steered.dtype))


def _weights(now: DirectionPass, sets: _Sets, positions: torch.Tensor) -> torch.Tensor:
    """How much of each edit acts at each token: `[rows, tokens, edits]`, 0 outside its window and at padding."""
    at = positions[..., None]
    after = at - now.ends[:, None, None]  # 0 at the last prompt token
    inside = (at >= sets.first) & (at <= sets.last) & (after >= sets.begin) & (after <= sets.end)
    if now.real is not None:
        inside = inside & now.real[..., None]
    return inside * torch.exp(-sets.fading * after.clamp_min(0))


def _turn(angle: torch.Tensor) -> torch.Tensor:
    """The same angle within half a turn, in radians."""
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


def _tabulate(sets: Sequence[Sequence[DirectionEdit]], d_model: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The arrays of `_Sets`, and the table of directions `[distinct + 1, d_model]`, whose row 0 is zero."""
    directions: dict[bytes, int] = {bytes(4 * d_model): 0}
    shape = (len(sets), max(map(len, sets)))
    whole = {name: np.zeros(shape, np.int64) for name in ("vector", "second", "kind", "first", "last", "begin", "end")}
    real = {name: np.zeros(shape, np.float32) for name in ("share", "low", "high", "angle", "offset", "fading")}
    for number, edits in enumerate(sets):
        for column, edit in enumerate(edits):
            here, bounds = (number, column), window(edit.positions)
            adds = edit.operation in ("add", "add_constant_norm")
            whole["kind"][here] = KINDS[edit.operation]
            whole["vector"][here] = directions.setdefault(edit.unit.tobytes(), len(directions))
            if edit.second is not None:
                whole["second"][here] = directions.setdefault(edit.second.tobytes(), len(directions))
            for name in ("first", "last", "begin", "end"):
                whole[name][here] = getattr(bounds, name)
            real["share"][here] = edit.share * (np.linalg.norm(edit.vector) if adds else 1)
            if edit.operation == "clamp":
                real["low"][here], real["high"][here] = edit.low, edit.high
            real["angle"][here], real["offset"][here] = np.deg2rad(edit.degrees), edit.offset
            real["fading"][here] = np.log(2) / edit.half_life if edit.half_life else 0
    arrays = [(whole | real)[name] for name in _Sets._fields]
    table = np.stack([np.frombuffer(content, dtype=np.float32) for content in directions])
    return arrays, table
