"""Gemma Scope's own files: JumpReLU SAEs (Lieberum et al. 2024, arXiv 2408.05147) that subtract no bias from the input.

*The first* (`google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/params.npz`): arrays W_enc, W_dec, b_enc,
b_dec and threshold. The file says neither block nor place: the names of its folders do.

*The second* (`google/gemma-scope-2-1b-it/resid_post/layer_17_width_16k_l0_medium/params.safetensors`): the same in
small letters, with a `config.json` beside it that says both.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from mindgap.sae.identity import identity_of, mapped_tensors, require, settings_in
from mindgap.sae.sae import SAE

WEIGHTS, WEIGHTS_2, SETTINGS_2 = "params.npz", "params.safetensors", "config.json"
TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
PLACES = {"mlp": "the output of an MLP", "att": "attention heads", "transcoders": "the input of an MLP"}
"""What a release's last word says of it, beside `res`."""


def read_npz(path: Path, cache: Path | None = None) -> SAE:
    """The SAE in `params.npz` of the first Gemma Scope. Raises ValueError, saying what is wrong."""
    release = re.search(r"(gemma-scope-[0-9a-z]+-[a-z]+)-(res|mlp|att|transcoders)(?![0-9a-z])", str(path))
    block = next((found for part in path.parts if (found := re.fullmatch(r"layer_(\d+)", part))), None)
    if release is not None and release[2] != "res":
        raise ValueError(f"it reads {PLACES[release[2]]} ({release[0]}), not the residual stream")
    if "embedding" in path.parts:
        raise ValueError("it reads the embeddings; only outputs of blocks can be read and steered")
    if release is None or block is None:
        raise ValueError(
            "the file says neither what it reads nor where, so its folders must, as in the release: "
            f"gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/{WEIGHTS}"
        )
    with np.load(path, allow_pickle=False) as arrays:
        tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    below = path.parts[path.parts.index(block[0]) : -1]
    return _made(tensors, ".".join([release[0], *below]), int(block[1]), path, cache)


def read_second(path: Path, cache: Path | None = None) -> SAE:
    """The SAE in `params.safetensors` of Gemma Scope 2. Raises ValueError, saying what is wrong."""
    settings = settings_in(path.with_name(SETTINGS_2))
    reads, writes = (str(settings.get(f"hf_hook_point_{end}") or "") for end in ("in", "out"))
    if settings.get("type", "sae") != "sae" or settings.get("affine_connection") or writes not in ("", reads):
        raise ValueError(f"it is a {settings.get('type', 'transcoder')} from {reads} to {writes}, not an SAE")
    block = re.fullmatch(r"model\.(?:language_model\.)?layers\.(\d+)\.output", reads)
    if block is None:
        raise ValueError(f"it reads {reads or 'an unknown place'} (hf_hook_point_in), not the output of a block")
    if (architecture := settings.get("architecture")) not in ("jump_relu", "jumprelu"):
        raise ValueError(f"architecture={architecture!r} of {SETTINGS_2} is not supported: jump_relu is")
    tensors = mapped_tensors(path)
    tensors = {re.sub("^w_", "W_", name): tensor for name, tensor in tensors.items()}
    name = str(settings.get("model_name") or "gemma").rpartition("/")[2]
    return _made(tensors, f"{name}.{path.parent.name}", int(block[1]), path, cache)


def _made(tensors: dict[str, torch.Tensor], name: str, layer: int, path: Path, cache: Path | None) -> SAE:
    require(tensors, TENSORS)
    return SAE(
        identity=identity_of(name, path, cache, layer, "gemma scope"),
        layer=layer,
        architecture="jumprelu",
        encoder=tensors["W_enc"].T,
        encoder_bias=tensors["b_enc"],
        decoder=tensors["W_dec"],
        decoder_bias=tensors["b_dec"],
        centred=False,
        threshold=tensors["threshold"].clamp(min=0),  # ReLU is applied too
    )
