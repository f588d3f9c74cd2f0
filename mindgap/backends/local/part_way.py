"""Passes through some of the blocks: texts are read up to a block once, and rows go on from there, each in its own way.

What the block puts out is kept as keys and values are, in a slot for each text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from mindgap.backends.local.block_output import Enough, stream_of, with_stream


class Blocks:
    """What passes over prompts go through: all blocks."""

    def passing(self, rows: slice, positions: torch.Tensor) -> AbstractContextManager[None]:
        """To be open during one pass.

        Args:
            rows: Which of all rows that are read it carries.
            positions: `[rows, tokens]`, where its tokens stand; padding may stand anywhere behind a row's text.
        """
        return nullcontext()

    def move(self, source: torch.Tensor, target: torch.Tensor, length: int) -> None:
        """Up to position `length`, rows `target` are what rows `source` are (index tensors)."""


class BlocksBelow(Blocks):
    """Passes end with a block, whose output is kept as it is before any edit.

    Args:
        blocks: The model's.
        layer: Index of the block.
        texts: How many rows there are.
        longest: Tokens of the longest.
    """

    def __init__(self, blocks: nn.ModuleList, layer: int, texts: int, longest: int) -> None:
        self.blocks, self.layer = blocks, layer
        self._shape = texts, longest + 1  # padding goes behind the longest
        self._stream = torch.empty(0)  # [texts, longest + 1, d_model]
        self._form: Any = None  # an output without its stream

    @contextmanager
    def passing(self, rows: slice, positions: torch.Tensor) -> Iterator[None]:
        def keep(module: nn.Module, args: object, output: Any) -> None:
            stream = stream_of(output)
            if self._form is None:
                self._stream = stream.new_zeros(*self._shape, stream.shape[-1])
                self._form = with_stream(output, self._stream[:0])
            texts = torch.arange(rows.start, rows.stop, device=stream.device)
            self._stream[texts[:, None], self._within(positions)] = stream
            raise Enough

        handle = self.blocks[self.layer].register_forward_hook(keep)  # before steering's, which come with each pass
        try:
            yield
        except Enough:
            pass
        finally:
            handle.remove()

    def move(self, source: torch.Tensor, target: torch.Tensor, length: int) -> None:
        self._stream[target, :length] = self._stream[source, :length]

    def output(self, texts: torch.Tensor, positions: torch.Tensor) -> Any:
        """What the block puts out for tokens at `positions`, `[rows, tokens]`, of `texts`, `[rows]`."""
        return with_stream(self._form, self._stream[texts[:, None], self._within(positions)])

    def _within(self, positions: torch.Tensor) -> torch.Tensor:
        return positions.clamp(max=self._shape[1] - 1)


class BlocksAbove(Blocks):
    """Passes go on from where texts have been read to.

    Args:
        below: What has been read.
        texts: `[rows]`, the text of each row.
    """

    def __init__(self, below: BlocksBelow, texts: torch.Tensor) -> None:
        self._below, self._texts = below, texts

    @contextmanager
    def passing(self, rows: slice, positions: torch.Tensor) -> Iterator[None]:
        output = self._below.output(self._texts[rows], positions)
        skipped = list(self._below.blocks)[: self._below.layer + 1]
        # A hook would not do, the block would run all the same. accelerate gives blocks a `forward` of their own, too.
        own = [vars(block).get("forward") for block in skipped]
        for block in skipped:
            block.forward = lambda *args, **settings: output
        try:
            yield
        finally:
            for block, forward in zip(skipped, own, strict=True):
                del block.forward
                if forward is not None:
                    block.forward = forward
