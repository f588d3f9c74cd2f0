"""How good a sparse autoencoder is, on text it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mindgap.backends.local.block_output import stream_of, with_stream
from mindgap.backends.local.engine import Engine
from mindgap.sae.sae import SAE
from mindgap.training.activations import batches, token_ids
from mindgap.training.corpus import Text

Replace = Callable[[torch.Tensor], torch.Tensor]
"""What stands in for residual streams `[…, d_model]`."""

CHUNK = 4096


@dataclass(frozen=True)
class Quality:
    """tokens: of the held-out text. explained: fraction of variance explained, 1 - Σ|x - x̂|² / Σ|x - mean|².

    l0: features active at a token, on average; dead: share of features active at no token of the held-out text.
    recovered: cross-entropy recovered when the reconstruction is spliced in, 1 - (CE_sae - CE) / (CE_mean - CE), with
    CE_mean where every stream is replaced by the mean one; all cross-entropies in nats per token.
    pca_*: the same for the leading `l0` principal components of the training tokens.
    """

    tokens: int
    explained: float
    l0: float
    dead: float
    cross_entropy: float
    cross_entropy_sae: float
    cross_entropy_mean: float
    recovered: float
    pca_components: int
    pca_explained: float
    pca_recovered: float


@torch.inference_mode()
def measure(engine: Engine, sae: SAE, train: np.ndarray, held: np.ndarray, texts: Sequence[Text]) -> Quality:
    """Quality of `sae` on the held-out residual streams `[tokens, d_model]`, and on the `texts` they come from."""
    mean = torch.tensor(train[:: max(1, len(train) // 100_000)], dtype=torch.float32).mean(0)
    active = torch.zeros(sae.features, dtype=torch.bool)
    l0 = 0.0
    for x in _chunks(held):
        on = sae.encode(x) > 0
        l0 += float(on.sum())
        active |= on.any(0)
    l0 /= len(held)
    components = round(l0)
    basis = _principal(train, mean, components)

    def spliced(x: torch.Tensor) -> torch.Tensor:
        return sae.decode(sae.encode(x.float())).to(x)

    def projected(x: torch.Tensor) -> torch.Tensor:
        return ((x.float() - mean) @ basis.T @ basis + mean).to(x)

    plain = cross_entropy(engine, texts, sae.layer, lambda x: x)
    with_sae = cross_entropy(engine, texts, sae.layer, spliced)
    with_mean = cross_entropy(engine, texts, sae.layer, lambda x: mean.to(x).expand_as(x))
    with_pca = cross_entropy(engine, texts, sae.layer, projected)
    return Quality(
        tokens=len(held),
        explained=_explained(held, mean, spliced),
        l0=l0,
        dead=1 - float(active.float().mean()),
        cross_entropy=plain,
        cross_entropy_sae=with_sae,
        cross_entropy_mean=with_mean,
        recovered=1 - (with_sae - plain) / (with_mean - plain),
        pca_components=components,
        pca_explained=_explained(held, mean, projected),
        pca_recovered=1 - (with_pca - plain) / (with_mean - plain),
    )


@torch.inference_mode()
def cross_entropy(engine: Engine, texts: Sequence[Text], layer: int, replace: Replace) -> float:
    """Mean cross-entropy of the next token, nats, with the output of block `layer` replaced at all but first tokens."""

    def hook(module: nn.Module, args: object, output: object) -> object:
        stream = stream_of(output)
        assert isinstance(stream, torch.Tensor)
        changed = torch.cat([stream[:, :1], replace(stream[:, 1:])], dim=1)
        return with_stream(output, changed)

    sequences = [ids for ids in (token_ids(engine, text) for text in texts) if len(ids) > 2]
    total, count = 0.0, 0
    handle = engine.blocks[layer].register_forward_hook(hook)
    try:
        for rows in batches(engine, sequences):
            tokens, real = engine.padded([sequences[row] for row in rows])
            logits = engine.model(input_ids=tokens, use_cache=False).logits[:, 1:-1].float()
            loss = nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 2:], reduction="none")
            total += float((loss * real[:, 2:]).sum())
            count += int(real[:, 2:].sum())
    finally:
        handle.remove()
    return total / count


def _principal(train: np.ndarray, mean: torch.Tensor, components: int) -> torch.Tensor:
    """The leading principal directions of the training tokens: `[components, d_model]`, orthonormal."""
    covariance = torch.zeros(len(mean), len(mean))
    for x in _chunks(train):
        covariance += (x - mean).T @ (x - mean)
    return torch.linalg.eigh(covariance).eigenvectors[:, -components:].T.contiguous()


def _explained(held: np.ndarray, mean: torch.Tensor, replace: Replace) -> float:
    left = total = 0.0
    for x in _chunks(held):
        left += float((x - replace(x)).square().sum())
        total += float((x - mean).square().sum())
    return 1 - left / total


def _chunks(data: np.ndarray):  # type: ignore[no-untyped-def]
    for start in range(0, len(data), CHUNK):
        yield torch.tensor(data[start : start + CHUNK], dtype=torch.float32)
