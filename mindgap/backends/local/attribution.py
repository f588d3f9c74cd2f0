"""What would adding a vector do to the likelihood of a text? The answer to first order, for all vectors at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mindgap.backends.local.block_output import stream_of, with_stream
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.halving import in_halves
from mindgap.core.records import Message

TOKENS_PER_PASS = 1024
"""Padding included. A pass keeps every activation after the block for the way back."""


def likelihood_gradient(
    engine: Engine, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield `(index, gradient)`: float32 `[d_model]`, of a response's mean log-likelihood per token (nats).

    The gradient is taken with respect to a vector added to the residual stream at the output of block `layer`, at
    every token of prompt and response, at the unsteered model. Its inner product with a small steering vector is the
    change of log-likelihood that steering causes (attribution patching: Syed et al. 2023, arXiv 2310.10348). A text
    without response tokens yields zeros; what lies beyond the model's context is left out.
    """
    for index, _, gradient, count in _each(engine, texts, layer, None):
        yield index, gradient / max(count, 1)


def likelihood_under(
    engine: Engine, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int, vector: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """See `TrainableEndpoint.likelihood_under`."""
    totals = np.zeros(len(texts), dtype=np.float32)
    gradients = np.zeros((len(texts), engine.d_model), dtype=np.float32)
    for index, total, gradient, _ in _each(engine, texts, layer, vector):
        totals[index], gradients[index] = total, gradient
    return totals, gradients


def _each(
    engine: Engine, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int, vector: np.ndarray | None
) -> Iterator[tuple[int, float, np.ndarray, int]]:
    """Yield `(index, total, gradient, tokens)`: the sum of a response's log-likelihoods, and its gradient."""
    encoded = [engine.prompt_and_reply(messages, reply) for messages, reply in texts]
    prompts, replies = [prompt for prompt, _ in encoded], [reply for _, reply in encoded]

    def work(group: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        both = _gradients(engine, [prompts[i] for i in group], [replies[i] for i in group], layer, vector)
        totals, gradients = (part.float().cpu().numpy() for part in both)
        return totals, gradients

    order = sorted(range(len(texts)), key=lambda index: len(prompts[index]) + len(replies[index]), reverse=True)
    while order:
        longest = len(prompts[order[0]]) + len(replies[order[0]])
        rows = engine.rows_that_share(longest, TOKENS_PER_PASS)
        group = order[:rows]
        del order[:rows]
        for part, (totals, gradients) in in_halves(engine, group, work):
            for index, total, gradient in zip(part, totals, gradients, strict=True):
                yield index, float(total), gradient, len(replies[index])


def _gradients(
    engine: Engine, prompts: list[list[int]], replies: list[list[int]], layer: int, vector: np.ndarray | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Totals `[rows]` and gradients `[rows, d_model]`; rows do not mix, so one backward pass serves all.

    vector: Added at every token; the gradient is taken there. None = none.
    """
    tokens, _ = engine.padded([prompt + reply for prompt, reply in zip(prompts, replies, strict=True)])
    starts = torch.tensor([[len(prompt)] for prompt in prompts], device=engine.device)
    ends = starts + torch.tensor([[len(reply)] for reply in replies], device=engine.device)
    places = torch.arange(tokens.shape[1], device=engine.device)[None]
    scored = ((places >= starts) & (places < ends))[:, 1:]  # position t is predicted at t - 1
    added = torch.zeros(len(prompts), 1, engine.d_model, device=engine.device, dtype=engine.dtype)
    if vector is not None:
        added += torch.as_tensor(vector, device=engine.device, dtype=engine.dtype)
    added.requires_grad_(True)

    def add(module: nn.Module, args: object, output: Any) -> Any:
        return with_stream(output, stream_of(output) + added)

    handle = engine.blocks[layer].register_forward_hook(add)
    try:
        with torch.enable_grad():
            first = int(starts.min()) - 1
            logits = engine.last_logits(tokens, tokens.shape[1] - first)
            logprobs = -nn.functional.cross_entropy(
                logits[:, :-1].float().transpose(1, 2), tokens[:, first + 1 :], reduction="none"
            )
            in_reply = scored[:, first:]
            totals = (logprobs * in_reply).sum(1)
            (gradient,) = torch.autograd.grad(totals.sum(), added)
    finally:
        handle.remove()
    return totals.detach(), gradient[:, 0]
