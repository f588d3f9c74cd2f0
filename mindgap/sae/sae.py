"""A sparse autoencoder of the residual stream: what its features are, and how active they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch

Architecture = Literal["relu", "jumprelu", "topk"]

ROWS = 2048
"""Features whose weights are converted at a time, so that weights of another type or device are never all copied."""


@dataclass(frozen=True, eq=False)
class SAE:
    """Features of the output of one block. All tensors may lie in a memory-mapped file; none is copied here.

    With residual stream x `[…, d_model]`, activations a `[…, features]`:

        p = ((x - decoder_bias if centred else x) * input_scale) @ encoder.T + encoder_bias
        a = max(p, 0)                           relu (Bricken et al. 2023)
        a = p where p > threshold else 0        jumprelu (Rajamanoharan et al. 2024)
        a = the k largest of max(p, 0)          topk (Gao et al. 2024)
        reconstruction = (a @ decoder + decoder_bias) / input_scale     (the bias undivided where centred)

    It is computed in float32 or better and given back in the type of x: activations decide at a threshold.

    Attributes:
        identity: Name and hash of the weights; goes into content keys.
        layer: Block whose output it reads (0 = first).
        encoder: `[features, d_model]`; a decoder row is the feature's direction, of any length.
        decoder: `[features, d_model]`; a decoder row is the feature's direction, of any length.
        scale: `[features]`, typical maximum activation of each feature, or None where it has not been measured.
    """

    identity: str
    layer: int
    architecture: Architecture
    encoder: torch.Tensor
    encoder_bias: torch.Tensor
    decoder: torch.Tensor
    decoder_bias: torch.Tensor
    centred: bool = True
    threshold: torch.Tensor | None = None
    k: int | None = None
    input_scale: float = 1.0
    scale: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.architecture not in ("relu", "jumprelu", "topk"):
            raise ValueError(f"{self.architecture!r} is no architecture: relu, jumprelu or topk")
        if (self.architecture == "jumprelu") != (self.threshold is not None):
            raise ValueError("a jumprelu SAE has thresholds, and no other has")
        if (self.architecture == "topk") != (self.k is not None):
            raise ValueError("a topk SAE has a k, and no other has")
        if self.encoder.ndim != 2 or self.encoder.shape != self.decoder.shape:
            raise ValueError(
                f"encoder {tuple(self.encoder.shape)} and decoder {tuple(self.decoder.shape)} "
                "must both be [features, d_model]"
            )
        widths = {"encoder_bias": self.features, "decoder_bias": self.d_model}
        for name, width in (widths | {"threshold": self.features, "scale": self.features}).items():
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != (width,):
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not ({width},)")
        if self.k is not None and not 1 <= self.k <= self.features:
            raise ValueError(f"k={self.k} is not between 1 and the {self.features} features")
        if self.layer < 0:
            raise ValueError(f"layer={self.layer} is no block")
        if not 0 < self.input_scale < float("inf"):
            raise ValueError(f"input_scale={self.input_scale} is not positive")

    @property
    def features(self) -> int:
        return int(self.encoder.shape[0])

    @property
    def d_model(self) -> int:
        return int(self.encoder.shape[1])

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> SAE:
        """The SAE with all tensors in the memory of `device`; encoder and decoder as `dtype`, if one is given.

        Where it is there already, nothing is copied, and mapped files stay mapped.
        """
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: tensor.to(device, dtype if tensor.ndim == 2 else None)
            for name, tensor in tensors.items()
            if isinstance(tensor, torch.Tensor)
        }
        return replace(self, **moved)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Activations `[…, features]` of the residual stream `x` `[…, d_model]`."""
        inputs = self._inputs(x)
        if self.encoder.dtype == inputs.dtype and self.encoder.device == inputs.device:
            pre = inputs @ self.encoder.T
        else:
            pre = torch.cat([inputs @ rows.to(inputs).T for rows in torch.split(self.encoder, ROWS)], dim=-1)
        return self._activate(pre + self.encoder_bias.to(inputs), slice(None)).to(x.dtype)

    def decode(self, activations: torch.Tensor) -> torch.Tensor:
        """Reconstruction `[…, d_model]` from activations `[…, features]`."""
        precise = activations.to(_compute_type(activations))
        if self.decoder.dtype == precise.dtype and self.decoder.device == precise.device:
            summed = precise @ self.decoder
        else:
            summed = precise.new_zeros(*precise.shape[:-1], self.d_model)
            for some, rows in zip(torch.split(precise, ROWS, -1), torch.split(self.decoder, ROWS), strict=True):
                summed += some @ rows.to(precise)
        bias = self.decoder_bias.to(precise)
        whole = summed / self.input_scale + bias if self.centred else (summed + bias) / self.input_scale
        return whole.to(activations.dtype)

    def directions(self, features: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """Decoder directions `[len(features), d_model]`, float32, in units of the residual stream per activation."""
        return self.decoder[torch.as_tensor(features, dtype=torch.long)].float() / self.input_scale

    def activations(self, x: torch.Tensor, features: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """Activations `[…, len(features)]` of some features. Reads only their rows, but all of them for topk."""
        chosen = torch.as_tensor(features, dtype=torch.long)
        if self.architecture == "topk":
            return self.encode(x)[..., chosen]
        inputs = self._inputs(x)
        pre = inputs @ self.encoder[chosen].to(inputs).T + self.encoder_bias[chosen].to(inputs)
        return self._activate(pre, chosen).to(x.dtype)

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        precise = x.to(_compute_type(x))
        return (precise - self.decoder_bias.to(precise) if self.centred else precise) * self.input_scale

    def _activate(self, pre: torch.Tensor, chosen: torch.Tensor | slice) -> torch.Tensor:
        if self.threshold is not None:
            return torch.where(pre > self.threshold[chosen].to(pre), pre, 0)
        positive = pre.relu()
        if self.k is None:
            return positive
        top = positive.topk(self.k, dim=-1)
        return torch.zeros_like(positive).scatter_(-1, top.indices, top.values)


def _compute_type(tensor: torch.Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
