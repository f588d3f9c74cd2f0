"""What representation finetuning of rank one trains on: likelihoods through a change of the stream, and gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mindgap.backends.base import ReftForm
from mindgap.backends.local.attribution import each_response
from mindgap.backends.local.engine import Engine
from mindgap.core.records import Message


def reft_objective(
    engine: Engine,
    texts: Sequence[tuple[tuple[Message, ...], str]],
    layer: int,
    form: ReftForm,
    parameters: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """See `TrainableEndpoint.reft_objective`."""

    def change(stream: torch.Tensor, real: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = stream.float()
        unit = torch.nn.functional.normalize(own[:, : x.shape[2]], dim=1)[:, None]
        if form.kind == "loreft":
            reads, offset = own[:, None, x.shape[2] : -1], own[:, -1:]
            return (x + ((x * reads).sum(2) + offset)[..., None] * unit).to(stream.dtype), None
        latents = (x * unit).sum(2).relu() * real
        top = latents.topk(min(form.top, latents.shape[1]), dim=1).values.sum(1)
        rest = (latents.sum(1) - top) / real.sum(1)
        return (x + (top / form.top)[:, None, None] * unit).to(stream.dtype), form.sparsity * rest

    objectives = np.zeros(len(texts), dtype=np.float32)
    gradients = np.zeros((len(texts), len(parameters)), dtype=np.float32)
    for index, likely, paid, gradient, _ in each_response(engine, texts, layer, parameters, change, per_token=True):
        objectives[index], gradients[index] = likely - paid, gradient
    return objectives, gradients
