"""An SAE in a file of our own: one safetensors file, its settings in the header."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mindgap.core.errors import UnavailableError
from mindgap.sae.sae import SAE
from mindgap.storage.hashes import file_hash

FORMAT = "mindgap-sae-1"
SETTINGS = ("layer", "architecture", "centred", "k", "input_scale")
TENSORS = ("encoder", "encoder_bias", "decoder", "decoder_bias", "threshold", "scale")


def save(sae: SAE, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write `sae` to `path`, whole or not at all. Encoder and decoder are stored as `dtype`, the rest in float32.

    Raises ValueError where `dtype` cannot hold the weights.
    """
    from safetensors.torch import save_file

    tensors = {name: getattr(sae, name) for name in TENSORS if getattr(sae, name) is not None}
    kept = {
        name: tensor.detach().to("cpu", dtype if tensor.ndim == 2 else torch.float32).contiguous()
        for name, tensor in tensors.items()
    }
    if spoilt := [name for name, tensor in kept.items() if not tensor.isfinite().all()]:
        raise ValueError(f"{' and '.join(spoilt)} would not be finite as {dtype}")
    settings = {
        "format": FORMAT,
        "name": sae.identity.partition("@")[0],
        **{name: getattr(sae, name) for name in SETTINGS},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    save_file(kept, unfinished, metadata={"mindgap": json.dumps(settings)})
    unfinished.replace(path)


def load(path: Path, cache: Path | None = None) -> SAE:
    """The SAE in `path`. Tensors lie in the mapped file until they are used. Raises UnavailableError if it is not ours.

    Args:
        cache: Where the hash of the file is remembered; None = the user's cache folder.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            settings = json.loads((file.metadata() or {}).get("mindgap", "{}"))
            tensors = {name: file.get_tensor(name) for name in TENSORS if name in file.keys()}  # noqa: SIM118
        if settings.get("format") != FORMAT:
            raise UnavailableError(f"{path} is not an SAE of format {FORMAT}: its header does not say so")
        return SAE(
            identity=f"{settings['name']}@{file_hash(path, cache)[:16]}",
            **{name: settings[name] for name in SETTINGS},
            **tensors,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UnavailableError(f"{path} cannot be read as an SAE ({type(error).__name__}: {error})") from error
