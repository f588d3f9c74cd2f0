"""What would adding a vector do to the likelihood of a text? The answer to first order, for all vectors at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """Yield `(index, total, gradient, tokens)`: the sum of a response's log-likelihoods, and its gradient.

    vector: Added at every token; the gradient is taken there. None = none.
    """
    start = np.zeros(engine.d_model, dtype=np.float32) if vector is None else vector

    def change(stream: torch.Tensor, real: torch.Tensor, added: torch.Tensor) -> tuple[torch.Tensor, None]:
        return stream + added[:, None].to(stream.dtype), None

    for index, total, _, gradient, tokens in each_response(engine, texts, layer, start, change):
        yield index, total, gradient, tokens


Change = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]
"""From stream `[rows, tokens, d_model]`, which tokens are real `[rows, tokens]` and each row's parameters
`[rows, parameters]` to the changed stream, and to what each row has to pay for it, `[rows]`; None = nothing."""


def each_response(
    engine: Engine,
    texts: Sequence[tuple[tuple[Message, ...], str]],
    layer: int,
    parameters: np.ndarray,
    change: Change,
    *,
    per_token: bool = False,
) -> Iterator[tuple[int, float, float, np.ndarray, int]]:
    """Yield `(index, total, paid, gradient, tokens)` of each response while the output of block `layer` is changed.

    The gradient, float32 `[parameters]`, is that of the response's log-likelihood less what is paid.

    Args:
        engine: The model.
        texts: Pairs of messages and the response to them.
        layer: Index of the block.
        parameters: float32 `[parameters]`, the same for every text.
        change: What is done there.
        per_token: The log-likelihood is the mean per token of the response, and not its sum.
    """
    encoded = [engine.prompt_and_reply(messages, reply) for messages, reply in texts]
    prompts, replies = [prompt for prompt, _ in encoded], [reply for _, reply in encoded]

    def work(group: Sequence[int]) -> tuple[np.ndarray, ...]:
        of = [prompts[i] for i in group], [replies[i] for i in group]
        return tuple(
            part.float().cpu().numpy() for part in _gradients(engine, *of, layer, parameters, change, per_token)
        )

    order = sorted(range(len(texts)), key=lambda index: len(prompts[index]) + len(replies[index]), reverse=True)
    while order:
        longest = len(prompts[order[0]]) + len(replies[order[0]])
        rows = engine.rows_that_share(longest, TOKENS_PER_PASS)
        group = order[:rows]
        del order[:rows]
        for part, (totals, paid, gradients) in in_halves(engine, group, work):
            for index, total, price, gradient in zip(part, totals, paid, gradients, strict=True):
                yield index, float(total), float(price), gradient, len(replies[index])


def _gradients(
    engine: Engine,
    prompts: list[list[int]],
    replies: list[list[int]],
    layer: int,
    parameters: np.ndarray,
    change: Change,
    per_token: bool,
) -> tuple[torch.Tensor, ...]:
    """Totals and what is paid, `[rows]` each, and gradients `[rows, parameters]`; rows do not mix, so one backward
    pass serves all."""
    tokens, _ = engine.padded([prompt + reply for prompt, reply in zip(prompts, replies, strict=True)])
    starts = torch.tensor([[len(prompt)] for prompt in prompts], device=engine.device)
    counts = torch.tensor([len(reply) for reply in replies], device=engine.device)
    ends = starts + counts[:, None]
    places = torch.arange(tokens.shape[1], device=engine.device)[None]
    scored = ((places >= starts) & (places < ends))[:, 1:]  # position t is predicted at t - 1
    own = torch.as_tensor(parameters, dtype=torch.float32, device=engine.device).repeat(len(prompts), 1)
    own.requires_grad_(True)
    paid: list[torch.Tensor | None] = []

    def hook(module: nn.Module, args: object, output: Any) -> Any:
        changed, price = change(stream_of(output), places < ends, own)
        paid.append(price)
        return with_stream(output, changed)

    handle = engine.blocks[layer].register_forward_hook(hook)
    try:
        with torch.enable_grad():
            first = int(starts.min()) - 1
            logits = engine.last_logits(tokens, tokens.shape[1] - first)
            logprobs = -nn.functional.cross_entropy(
                logits[:, :-1].float().transpose(1, 2), tokens[:, first + 1 :], reduction="none"
            )
            totals = (logprobs * scored[:, first:]).sum(1)
            totals = totals / counts.clamp_min(1) if per_token else totals
            price = torch.zeros_like(totals) if paid[-1] is None else paid[-1]
            (gradients,) = torch.autograd.grad((totals - price).sum(), own)
    finally:
        handle.remove()
    return totals.detach(), price.detach(), gradients
