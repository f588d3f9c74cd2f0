"""A random SAE, for tests of what is done with one."""

from __future__ import annotations

import torch

from mindgap.sae.sae import SAE, Architecture


def random_sae(
    d_model: int, architecture: Architecture = "relu", *, features: int = 24, layer: int = 1, seed: int = 0
) -> SAE:
    """Encoder and decoder rows of length about 1 that have nothing to do with each other; about half are active."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return SAE(
        identity=f"random-{architecture}@{seed}",
        layer=layer,
        architecture=architecture,
        encoder=draw(features, d_model) / d_model**0.5,
        encoder_bias=0.1 * draw(features),
        decoder=draw(features, d_model) / d_model**0.5,
        decoder_bias=0.1 * draw(d_model),
        threshold=0.2 * draw(features).abs() if architecture == "jumprelu" else None,
        k=6 if architecture == "topk" else None,
        input_scale=0.5,
    )
