"""Reading the residual stream of the unsteered model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mindgap.backends.local import chat
from mindgap.backends.local.engine import PROMPT_TOKENS_PER_PASS, Engine
from mindgap.records import Message


class _Enough(Exception):
    """Ends a forward pass once the block of interest has been read."""


@torch.inference_mode()
def response_residuals(
    engine: Engine, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield `(index, residuals)`: float32 `[response tokens, d_model]` at the output of block `layer`, unsteered."""
    sequences = []
    for index, (messages, text) in enumerate(texts):
        prompt = chat.encode_prompt(engine.tokenizer, messages)
        sequences.append((index, prompt, chat.encode(engine.tokenizer, text)))
    sequences.sort(key=lambda sequence: len(sequence[1]) + len(sequence[2]), reverse=True)
    while sequences:
        width = len(sequences[0][1]) + len(sequences[0][2])
        group = sequences[: max(1, PROMPT_TOKENS_PER_PASS // width)]
        residual = _residual(engine, [prompt + reply for _, prompt, reply in group], layer)
        for row, (index, prompt, reply) in enumerate(group):
            yield index, residual[row, len(prompt) : len(prompt) + len(reply)].float().cpu().numpy()
        del sequences[: len(group)]


def _residual(engine: Engine, sequences: list[list[int]], layer: int) -> torch.Tensor:
    """Residual stream `[rows, tokens, d_model]` at the output of block `layer`; later blocks are not run."""
    read: list[torch.Tensor] = []

    def stop(module: nn.Module, args: object, output: Any) -> None:
        read.append(output[0] if isinstance(output, tuple) else output)
        raise _Enough

    tokens, _ = engine.padded(sequences)
    handle = engine.blocks[layer].register_forward_hook(stop)
    try:
        engine.model(input_ids=tokens, use_cache=False)
    except _Enough:
        pass
    finally:
        handle.remove()
    return read[0]
