"""A KV cache of slots: every row has its own length, rows come and go, nothing is ever re-aligned.

Row `i` keeps its keys and values at positions `0 … length_i - 1` of slot `i`, so padding lives behind the text, where
causal attention cannot see it. Slots `0 … rows - 1` are in use; a row that finishes is overwritten by the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass
class _Window:
    """Where the running forward pass writes. Shared by all layers, set by `SlotCache` before the pass.

    Attributes:
        first: Slot of the pass's first row.
        positions: `[rows, tokens]` where each token goes in its slot; None while prompts are read into empty slots,
            where token `t` goes to position `t`.
        span: Positions that attention looks at.
    """

    first: int = 0
    positions: torch.Tensor | None = None
    span: int = 0


class _SlotLayer(CacheLayerMixin):
    def __init__(self, window: _Window, slots: int, capacity: int) -> None:
        super().__init__()
        self.window, self.slots, self.capacity = window, slots, capacity

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # Zeros, not empty memory: attention gives masked positions weight 0, and 0 * NaN would be NaN.
        _, heads, _, width = key_states.shape
        self.keys = key_states.new_zeros(self.slots, heads, self.capacity, width)
        self.values = value_states.new_zeros(self.slots, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        rows, _, tokens, _ = key_states.shape
        first, positions, span = self.window.first, self.window.positions, self.window.span
        if positions is None:
            self.keys[first : first + rows, :, :tokens] = key_states
            self.values[first : first + rows, :, :tokens] = value_states
            return key_states, value_states
        slots = torch.arange(first, first + rows, device=key_states.device)[:, None]
        self.keys[slots, :, positions] = key_states.transpose(1, 2)
        self.values[slots, :, positions] = value_states.transpose(1, 2)
        return self.keys[first : first + rows, :, :span], self.values[first : first + rows, :, :span]

    def move(self, source: torch.Tensor, target: torch.Tensor, length: int) -> None:
        """Copy slots `source` over slots `target`, up to position `length`."""
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            self.keys[target, :, :length] = self.keys[source, :, :length]
            self.values[target, :, :length] = self.values[source, :, :length]

    def resize(self, slots: int, capacity: int) -> None:
        """Room for other numbers of rows and positions. What lies beyond them is lost."""
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            self.keys, self.values = (_resized(old, slots, capacity) for old in (self.keys, self.values))
        self.slots, self.capacity = slots, capacity

    # What transformers asks of any layer; it only sizes masks with it, and `SlotCache` brings its own.
    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return (query_length if self.window.positions is None else self.window.span), 0

    def get_seq_length(self) -> int:
        return 0 if self.window.positions is None else self.window.span

    def get_max_length(self) -> int:
        return self.capacity


def _resized(old: torch.Tensor, slots: int, capacity: int) -> torch.Tensor:
    new = old.new_zeros(slots, old.shape[1], capacity, old.shape[3])
    kept = old[:slots, :, :capacity]
    new[: kept.shape[0], :, : kept.shape[2]] = kept
    return new


class SlotCache(Cache):
    """Keys and values of up to `slots` rows of up to `capacity` tokens, for a model of `layers` blocks."""

    def __init__(self, layers: int, slots: int, capacity: int) -> None:
        self.window = _Window()
        self.slots, self.capacity = slots, capacity
        self._slot_layers = [_SlotLayer(self.window, slots, capacity) for _ in range(layers)]
        super().__init__(layers=list(self._slot_layers))

    def begin_prompts(self, first: int) -> None:
        """The next pass reads whole prompts into the slots from `first` on."""
        self.window.first, self.window.positions, self.window.span = first, None, 0

    def begin_extension(self, positions: torch.Tensor, span: int, first: int = 0) -> None:
        """The next pass appends tokens at `positions`, `[rows, tokens]`, to the slots from `first` on.

        Args:
            positions: Where they go.
            span: One more than the highest of the positions.
            first: Slot of the first row.
        """
        self.window.first, self.window.positions, self.window.span = first, positions, span

    def move(self, source: torch.Tensor, target: torch.Tensor, length: int) -> None:
        """Copy rows `source` over rows `target` in every layer (index tensors), up to position `length`."""
        for layer in self._slot_layers:
            layer.move(source, target, length)

    def resize(self, slots: int, capacity: int) -> None:
        """Room for up to `slots` rows of up to `capacity` tokens from now on; what does not fit is lost."""
        self.slots, self.capacity = slots, capacity
        for layer in self._slot_layers:
            layer.resize(slots, capacity)
