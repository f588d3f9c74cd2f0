"""Llama Scope's own files: JumpReLU SAEs (He et al. 2024, arXiv 2410.20526) of an input brought to a common length.

`hyperparams.json` says what is read, the threshold and the mean norm of the activations, and
`checkpoints/final.safetensors` beside it holds the weights. As SAELens 6.54 loads them, the input is multiplied by
√d_model over that norm, and the threshold, which the file gives for unscaled activations, is multiplied alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mindgap.sae.identity import LLAMA_SCOPE_SETTINGS as SETTINGS
from mindgap.sae.identity import hook_of, identity_of, mapped_tensors, require, settings_in
from mindgap.sae.sae import SAE

TENSORS = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")


def settings_beside(path: Path) -> Path | None:
    """The settings that belong to weights in a `checkpoints` folder; None where there are none."""
    settings = path.parent.parent / SETTINGS
    return settings if path.parent.name == "checkpoints" and settings.is_file() else None


def read_llama_scope(path: Path, settings_file: Path, cache: Path | None = None) -> SAE:
    """The SAE in the weights file `path`. Raises ValueError, saying what is wrong."""
    settings = settings_in(settings_file)
    if (function := settings.get("act_fn", "jumprelu")) != "jumprelu":
        raise ValueError(f"act_fn={function!r} of {SETTINGS} is not supported: jumprelu is")
    hook, layer = hook_of({"hook_name": settings.get("hook_point_in")})
    if settings.get("hook_point_out", hook) != hook:
        raise ValueError(f"it is a transcoder from {hook} to {settings['hook_point_out']}, not an SAE")
    scale = _number(settings, "d_model") ** 0.5 / _number(settings, "dataset_average_activation_norm")
    threshold = _number(settings, "jump_relu_threshold") * scale
    tensors = mapped_tensors(path)
    require(tensors, TENSORS)
    encoder = tensors["encoder.weight"]
    return SAE(
        identity=identity_of(f"{path.parent.parent.name}.{hook}", path, cache, layer, scale, threshold),
        layer=layer,
        architecture="jumprelu",
        encoder=encoder,
        encoder_bias=tensors["encoder.bias"],
        decoder=tensors["decoder.weight"].T,
        decoder_bias=tensors["decoder.bias"],
        centred=False,
        threshold=torch.full((len(encoder),), max(threshold, 0.0)),  # ReLU is applied too
        input_scale=scale,
    )


def _number(settings: dict[str, Any], name: str) -> float:
    """A setting above 0; of the norms, that of the input."""
    value = settings.get(name)
    value = value.get("in") if isinstance(value, dict) else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name}={value!r} of {SETTINGS} is no number above 0")
    return float(value)
