"""Reading the residual stream of the unsteered model, and the SAE features in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mindgap.backends.local.block_output import stream_of
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.halving import in_halves
from mindgap.core.records import Message
from mindgap.sae.sae import SAE


class _Enough(Exception):
    """Ends a forward pass once the block of interest has been read."""


Texts = Sequence[tuple[tuple[Message, ...], str]]


def response_residuals(engine: Engine, texts: Texts, layer: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield `(index, residuals)`: float32 `[response tokens, d_model]` at the output of block `layer`, unsteered."""
    for index, residual in _responses(engine, texts, layer):
        yield index, residual.cpu().numpy()


def response_features(engine: Engine, sae: SAE, texts: Texts) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield `(index, activations)`: float32 `[response tokens, features]` of `sae`, unsteered, on the device."""
    for index, residual in _responses(engine, texts, sae.layer):
        yield index, sae.encode(residual)


@torch.inference_mode()
def _responses(engine: Engine, texts: Texts, layer: int) -> Iterator[tuple[int, torch.Tensor]]:
    """The residual stream over each text's response tokens, float32 on the device; long texts come first.

    What lies beyond the model's context is left out.
    """

    def read(group: Sequence[tuple[int, list[int], list[int]]]) -> torch.Tensor:
        return residual_stream(engine, [prompt + reply for _, prompt, reply in group], layer)

    sequences = []
    for index, (messages, text) in enumerate(texts):
        sequences.append((index, *engine.prompt_and_reply(messages, text)))
    sequences.sort(key=lambda sequence: len(sequence[1]) + len(sequence[2]), reverse=True)
    while sequences:
        width = len(sequences[0][1]) + len(sequences[0][2])
        group = sequences[: engine.rows_that_share(width)]
        for part, residual in in_halves(engine, group, read):
            for row, (index, prompt, reply) in enumerate(part):
                yield index, residual[row, len(prompt) : len(prompt) + len(reply)].float()
        del sequences[: len(group)]


def residual_stream(engine: Engine, sequences: list[list[int]], layer: int) -> torch.Tensor:
    """Residual stream `[rows, tokens, d_model]` at the output of block `layer`; later blocks are not run."""
    return _streams(engine, sequences, [layer])[0]


@torch.inference_mode()
def token_streams(
    engine: Engine, sequences: Sequence[list[int]], layers: Sequence[int]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield `(index, stream)`: float32 `[layers, tokens, d_model]` of every sequence of token ids, on the device.

    All blocks asked for are read in one pass; long sequences come first.
    """
    waiting = sorted(enumerate(sequences), key=lambda numbered: len(numbered[1]), reverse=True)

    def read(group: Sequence[tuple[int, list[int]]]) -> list[torch.Tensor]:
        return _streams(engine, [tokens for _, tokens in group], layers)

    while waiting:
        group = waiting[: engine.rows_that_share(len(waiting[0][1]))]
        for part, streams in in_halves(engine, group, read):
            for row, (index, tokens) in enumerate(part):
                yield index, torch.stack([stream[row, : len(tokens)].float() for stream in streams])
        del waiting[: len(group)]


def _streams(engine: Engine, sequences: list[list[int]], layers: Sequence[int]) -> list[torch.Tensor]:
    """Residual stream `[rows, tokens, d_model]` at each of `layers`, in their order; later blocks are not run."""
    read: dict[int, torch.Tensor] = {}

    def keep(layer: int) -> Callable[[nn.Module, object, Any], None]:
        def hook(module: nn.Module, args: object, output: Any) -> None:
            read[layer] = stream_of(output)
            if layer == max(layers):
                raise _Enough

        return hook

    tokens, _ = engine.padded(sequences)
    handles = [engine.blocks[layer].register_forward_hook(keep(layer)) for layer in sorted(set(layers))]
    try:
        engine.model(input_ids=tokens, use_cache=False)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return [read[layer] for layer in layers]
