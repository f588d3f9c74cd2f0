"""What is computed at the output of a block: for every token what its request's program says, in plain torch.

All shapes and addresses stay the same, whatever is steered, so that it can be compiled and captured as a graph.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from mindgap_vllm.wire import KINDS, Change, Limits, Read

ADD, CONSTANT_NORM, BOUND, FEATURE, ROTATE, ROTATE_SECOND = range(1, len(KINDS))

FIELDS = ("kind", "read", "second_read", "low", "high", "angle", "gain", "offset", "needed")
"""Numbers of a change, in this order, before those of its comparisons: read, bound, below, at, above each."""
HUGE = 3e38
"""Stands for infinity: infinite bounds times nothing would be no number."""


class Tables(NamedTuple):
    """What all blocks share, or one block's part of it; `T` tokens, `P` programs, of which number 0 is empty.

    Attributes:
        sums: `[rows, d_model]`, vectors that are added as they are, in the model's numeric type.
        sum_rows: `[T]`, which of them each token adds here.
        directions: `[rows, d_model]` float32, vectors that changes read and write.
        program: `[T]`, each token's program.
        weights: `[T, changes]` float32, how much of each change acts at each token here.
        numbers: `[P, changes, …]` float32, see `FIELDS`.
        read_rows: `[P, reads]`, rows of `directions`.
        read_numbers: `[P, reads, 2]` float32, bias and threshold.
        write_rows: `[P, changes]`, rows of `directions`.
    """

    sums: torch.Tensor
    sum_rows: torch.Tensor
    directions: torch.Tensor
    program: torch.Tensor
    weights: torch.Tensor
    numbers: torch.Tensor
    read_rows: torch.Tensor
    read_numbers: torch.Tensor
    write_rows: torch.Tensor


class Point(nn.Module):
    """Steers the output of one block.

    Args:
        tables: This block's; `weights` and what follows are of no use where `changes` is False.
        changes: Whether changes may act here.
        as_one: Whether they are one step of the compiled model, see `changed_as_one`.

    Attributes:
        adds: Whether any token of the running pass is added to here. Looked at by eager passes alone: a graph that was
            captured, or compiled, always computes all.
        acts: Likewise, whether any change acts.
    """

    sums: torch.Tensor
    sum_rows: torch.Tensor
    directions: torch.Tensor
    program: torch.Tensor
    weights: torch.Tensor
    numbers: torch.Tensor
    read_rows: torch.Tensor
    read_numbers: torch.Tensor
    write_rows: torch.Tensor

    def __init__(self, tables: Tables, *, changes: bool, as_one: bool) -> None:
        super().__init__()
        for name, tensor in tables._asdict().items():
            if changes or name in ("sums", "sum_rows"):
                self.register_buffer(name, tensor, persistent=False)
        self.changes, self._changed = changes, changed_as_one if as_one else changed
        self.adds = self.acts = True

    def forward(self, output: Any) -> Any:
        """The block's output, steered: a tensor, or hidden states and a residual that the next block adds up.

        Args:
            output: `[T, d_model]`, or a tuple that begins with two of these; the second may be None.
        """
        if not self.adds and not self.acts:
            return output
        hidden, residual = (output[0], output[1]) if isinstance(output, tuple) else (output, None)
        tokens = hidden.shape[0]
        steered = hidden
        if self.adds:
            steered = steered + self.sums.index_select(0, self.sum_rows[:tokens])
        if self.changes and self.acts:
            stream = hidden.float() if residual is None else hidden.float() + residual.float()
            added = self._changed(
                stream,
                self.program[:tokens],
                self.weights[:tokens],
                self.directions,
                self.numbers,
                self.read_rows,
                self.read_numbers,
                self.write_rows,
            )
            steered = steered + added.to(hidden.dtype)
        return (steered, *output[1:]) if isinstance(output, tuple) else steered


def changed(
    stream: torch.Tensor,
    program: torch.Tensor,
    weight: torch.Tensor,
    directions: torch.Tensor,
    numbers: torch.Tensor,
    read_rows: torch.Tensor,
    read_numbers: torch.Tensor,
    write_rows: torch.Tensor,
) -> torch.Tensor:
    """What the changes add to the stream, both `[tokens, d_model]` float32; the others as in `Tables`."""
    reads = directions[read_rows.index_select(0, program)]  # [tokens, reads, d_model]
    bias, threshold = read_numbers.index_select(0, program).unbind(-1)
    z = (stream[:, None] * reads).sum(-1) + bias
    z = torch.where(z > threshold, z, 0.0)  # projections and activations: [tokens, reads]
    own_numbers = numbers.index_select(0, program)  # [tokens, changes, …]
    kind, own, second, low, high, angle, gain, offset, needed = own_numbers[..., : len(FIELDS)].unbind(-1)
    along, across = z.gather(1, own.long()), z.gather(1, second.long())
    norm = stream.norm(dim=-1, keepdim=True)
    longer = (norm**2 + 2 * weight * along + weight**2).clamp_min(1e-24).sqrt()
    kept = torch.where((kind == CONSTANT_NORM) & (weight != 0), norm / longer, 1.0)
    amount = torch.where(kind <= CONSTANT_NORM, weight * kept, 0.0)
    bounded = torch.minimum(torch.maximum(along, low), high)
    amount = torch.where(kind == BOUND, weight * (bounded - along), amount)
    held = _held(z, own_numbers[..., len(FIELDS) :]) >= needed
    amount = torch.where(kind == FEATURE, weight * (along * gain + offset) * held, amount)
    radius, now = torch.hypot(along, across), torch.atan2(across, along)
    turned = now + weight * _within_half_a_turn(angle - now)
    rotates = weight != 0
    amount = torch.where((kind == ROTATE) & rotates, radius * turned.cos() - along, amount)
    amount = torch.where((kind == ROTATE_SECOND) & rotates, radius * turned.sin() - across, amount)
    writes = directions[write_rows.index_select(0, program)]  # [tokens, changes, d_model]
    return (amount[..., None] * writes).sum(1) + (kept - 1).sum(-1, keepdim=True) * stream


@torch.library.custom_op("mindgap::changed", mutates_args=())
def changed_as_one(
    stream: torch.Tensor,
    program: torch.Tensor,
    weight: torch.Tensor,
    directions: torch.Tensor,
    numbers: torch.Tensor,
    read_rows: torch.Tensor,
    read_numbers: torch.Tensor,
    write_rows: torch.Tensor,
) -> torch.Tensor:
    """`changed`, one step of a model that is compiled for a CPU.

    There all blocks are compiled as one graph, and these lines, compiled anew for each of them, would take most of the
    time. A CPU can look whether there is anything to do, too; a graph on a GPU cannot.
    """
    if not weight.any():
        return torch.zeros_like(stream)
    return changed(stream, program, weight, directions, numbers, read_rows, read_numbers, write_rows)


@changed_as_one.register_fake
def _(stream: torch.Tensor, *tables: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(stream)


def _held(z: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """How many comparisons of each change hold: `[tokens, changes]`."""
    each = numbers.reshape(*numbers.shape[:-1], -1, 5)  # [tokens, changes, comparisons, 5]
    read, bound, below, at, above = each.unbind(-1)
    compared = z.gather(1, read.long().flatten(1)).view_as(read)
    return torch.where(compared < bound, below, torch.where(compared > bound, above, at)).sum(-1)


def _within_half_a_turn(angle: torch.Tensor) -> torch.Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def numbers_of(change: Change, limits: Limits) -> list[float]:
    """A change as `Tables.numbers` has it."""

    def finite(bound: float) -> float:
        return max(-HUGE, min(HUGE, bound))

    own = [change.kind, change.read, change.second_read, finite(change.low), finite(change.high)]
    own += [change.angle, change.gain, change.offset, change.needed]
    compared = [number for comparison in change.compare for number in map(float, comparison)]
    return [*map(float, own), *compared, *[0.0] * (5 * limits.comparisons - len(compared))]


def read_numbers_of(read: Read) -> list[float]:
    """A read as `Tables.read_numbers` has it."""
    return [read.bias, max(-HUGE, read.threshold)]
