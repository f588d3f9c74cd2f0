"""Reading the model for a client: tokens, features of a conversation, logits, attribution. Tasks of the worker."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from mindgap.backends.local.block_output import stream_of, with_stream
from mindgap.backends.local.chat import Chat
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import residual_stream
from mindgap.backends.local.rows import NOT_NUMBERS
from mindgap.core.edits import Edit
from mindgap.core.records import Message
from mindgap.ember.errors import RequestError
from mindgap.ember.schemas import AggregateBy
from mindgap.sae.sae import SAE

Made = TypeVar("Made")
ACTIVE = 0.1
"""Strength above which a feature counts as active at a token."""
TOKENS_PER_STEP = 64
"""Tokens that are encoded by the SAE at a time."""

TokenFeatures = list[list[tuple[int, float]]]
"""For each token the features that are active there with their strength, the strongest first."""


def once(work: Callable[[], Made]) -> Generator[None, None, Made]:
    """A task that does all of its work at once, when its turn comes."""
    yield
    return work()


def collected(parts: Iterator[Sequence[Made]]) -> Generator[None, None, list[Made]]:
    """A task that takes one part a step, and returns all that is in them."""
    pieces: list[Made] = []
    for part in parts:
        pieces += part
        yield
    return pieces


def conversation(chat: Chat, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation as the model reads it.

    If the assistant spoke last, its words so far, which the model could go on with; else up to where it would begin.
    """
    if messages[-1].role == "assistant" and len(messages) > 1:
        prompt, (words,) = chat.with_replies(messages[:-1], [messages[-1].content])
        return prompt + words
    return chat.prompt(messages)


def pieces(tokenizer: Any, tokens: Sequence[int]) -> list[str]:
    """Each token as text."""
    return [tokenizer.decode([token]) for token in tokens]


def token_features(
    engine: Engine, tokens: list[int], edits: Sequence[Edit], scales: np.ndarray, chosen: frozenset[int] | None
) -> Generator[None, None, TokenFeatures]:
    """Features at each token under `edits`, in units of their scale; those without one are left out.

    Args:
        chosen: The only features that are wanted; None = all.
    """
    sae = _resident(engine)
    with torch.inference_mode(), _steered(engine, edits):
        stream = residual_stream(engine, [tokens], sae.layer)[0]
    if not bool(torch.isfinite(stream).all()):
        raise RequestError(400, "No activations: they are not finite numbers; the steering is too strong.")
    scale = torch.from_numpy(scales).to(engine.device)
    wanted = scale > 0
    if chosen is not None:
        named = torch.zeros_like(wanted)
        named[sorted(chosen)] = True
        wanted &= named
    token_activations: TokenFeatures = []
    for residuals in torch.split(stream, TOKENS_PER_STEP):
        yield
        with torch.inference_mode():
            strengths = torch.where(wanted, sae.encode(residuals.float()) / torch.where(wanted, scale, 1), 0)
            for row in strengths:
                active = row.nonzero()[:, 0]
                active = active[row[active].argsort(descending=True, stable=True)]
                token_activations.append(list(zip(active.tolist(), row[active].tolist(), strict=True)))
    return token_activations


def aggregated(active_by_token: TokenFeatures, aggregate_by: AggregateBy) -> list[tuple[int, float]]:
    """One strength a feature, the strongest first.

    Args:
        active_by_token: As `token_features` gives them.
        aggregate_by: Count or frequency: tokens where it is active; else the mean, max or sum of its strength there.
    """
    strengths: dict[int, list[float]] = {}
    for active in active_by_token:
        for feature, strength in active:
            if strength > ACTIVE:
                strengths.setdefault(feature, []).append(strength)
    aggregates: dict[AggregateBy, Callable[[list[float]], float]] = {
        "count": len, "frequency": len, "mean": fmean, "max": max, "sum": sum,
    }  # fmt: skip
    pairs = [(feature, float(aggregates[aggregate_by](values))) for feature, values in strengths.items()]
    return sorted(pairs, key=lambda pair: -pair[1])


def mean_features(engine: Engine, spans: Sequence[tuple[list[int], int]]) -> Generator[None, None, np.ndarray]:
    """Mean activations over each span, float32 `[spans, features]`. A span: tokens, and the index where it begins."""
    sae = _resident(engine)
    means = np.empty((len(spans), sae.features), dtype=np.float32)
    for number, (tokens, start) in enumerate(spans):
        with torch.inference_mode():
            stream = residual_stream(engine, [tokens], sae.layer)[0, start:].float()
            total = torch.stack([sae.encode(some).sum(0) for some in torch.split(stream, TOKENS_PER_STEP)]).sum(0)
            means[number] = (total / len(stream)).cpu().numpy()
        yield
    return means


def next_logits(engine: Engine, tokens: list[int], edits: Sequence[Edit]) -> np.ndarray:
    """Logits of the token that follows, float32 `[vocabulary]`."""
    with torch.inference_mode(), _steered(engine, edits):
        ids = torch.tensor([tokens], device=engine.device)
        logits = engine.last_logits(ids, 1)
    values: np.ndarray = logits[0, -1].float().cpu().numpy()
    if not np.isfinite(values.max()):
        raise RequestError(400, f"No logits: {NOT_NUMBERS}.")
    return values


def attribution(
    engine: Engine, tokens: list[int], first: int, last: int
) -> Generator[None, None, list[tuple[int, float, list[tuple[int, float]]]]]:
    """What features contribute to the logits of tokens `first` to `last` (indices of `tokens`, at least 1).

    A feature's part is its activation times the derivative of the logits' sum along its direction, summed over all
    tokens before (attribution patching, Syed et al. 2023, arXiv 2310.10348): to first order what ablating it would take
    away. Yields a list of (feature, part, [(token, activation)]), the largest part first, parts above 0 only.
    """
    sae = _resident(engine)
    stream, gradient = _stream_and_gradient(engine, tokens[: last + 1], first, sae.layer)
    parts = torch.zeros(sae.features, device=engine.device)
    for x, slope in zip(torch.split(stream, TOKENS_PER_STEP), torch.split(gradient, TOKENS_PER_STEP), strict=True):
        yield
        with torch.inference_mode():
            along = slope @ sae.decoder.to(slope).T / sae.input_scale
            parts += (sae.encode(x) * along).sum(0)
    with torch.inference_mode():
        best = [int(feature) for feature in parts.topk(min(50, sae.features)).indices if parts[feature] > 0]
        active = sae.activations(stream, best) if best else stream[:, :0]
    return [
        (
            feature,
            float(parts[feature]),
            [(place, float(active[place, column])) for place in active[:, column].nonzero()[:, 0].tolist()],
        )
        for column, feature in enumerate(best)
    ]


def _stream_and_gradient(
    engine: Engine, tokens: list[int], first: int, layer: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The residual stream before the last token, and the logits' derivative by it: both `[tokens - 1, d_model]`."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, args: object, output: Any) -> Any:
        stream = stream_of(output).detach().requires_grad_()
        kept.append(stream)
        return with_stream(output, stream)

    ids = torch.tensor([tokens[:-1]], device=engine.device)
    targets = torch.tensor(tokens[first:], device=engine.device)
    handle = engine.blocks[layer].register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = engine.last_logits(ids, len(targets))[0]
            (gradient,) = torch.autograd.grad(logits.float().gather(-1, targets[:, None]).sum(), kept[0])
    finally:
        handle.remove()
    return kept[0].detach()[0].float(), gradient[0].float()


def _steered(engine: Engine, edits: Sequence[Edit]) -> Any:
    steering = engine.steering([tuple(edits)])
    steering.rows_are(torch.tensor([0], device=engine.device), response=False)
    return steering


def _resident(engine: Engine) -> SAE:
    sae = engine.resident_sae
    assert sae is not None, "asked for features of a model that has none"
    return sae
