"""What files of several formats have in common: names, settings, tensors, and what an SAE reads."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.storage.hashes import file_hash

if TYPE_CHECKING:
    import torch

LLAMA_SCOPE_WEIGHTS, LLAMA_SCOPE_SETTINGS = "checkpoints/final.safetensors", "hyperparams.json"
"""Files of an SAE of Llama Scope, in its folder."""


def identity_of(name: str, path: Path, cache: Path | None, *settings: object) -> str:
    """The same wherever the file lies, and another one for other settings."""
    content = json.dumps([file_hash(path, cache), *settings])
    return f"{name}@{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def require(tensors: Mapping[str, object], names: Sequence[str]) -> None:
    """Raise ValueError for tensors that are missing, and unknown ones, which could change what the others mean."""
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"it lacks {', '.join(missing)}; it holds {', '.join(sorted(tensors)) or 'nothing'}")
    if unknown := sorted(tensors.keys() - set(names)):
        raise ValueError(f"it holds {', '.join(unknown)}, whose meaning is not known here")


def settings_in(file: Path) -> dict[str, Any]:
    """The settings beside an SAE's weights. Raises ValueError, saying what is wrong."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name} beside it is not JSON ({error})") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{file.name} beside it holds no settings")
    return settings


def mapped_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file by name, mapped, not read. Raises ValueError where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"it is no safetensors file ({error})") from error


def hook_of(settings: Mapping[str, Any]) -> tuple[str, int]:
    """What the SAE reads by SAELens' name, and the block whose output that is. Raises ValueError for other places."""
    hook = str(settings.get("hook_name") or settings.get("hook_point") or "")
    number = settings.get("hook_layer", settings.get("hook_point_layer"))
    hook = hook.replace("{layer}", str(number))
    if settings.get("hook_head_index", settings.get("hook_point_head_index")) is not None:
        raise ValueError(f"it reads one head of {hook}, not the residual stream")
    if block := re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", hook):
        layer = int(block[1]) - (block[2] == "pre")
        if layer < 0:
            raise ValueError(f"it reads {hook}, the embeddings; only outputs of blocks can be read and steered")
        return hook, layer
    if block := re.fullmatch(r"(?:\w+\.)*(?:layers|h)\.(\d+)", hook):  # the name of a module in transformers
        return hook, int(block[1])
    raise ValueError(
        f"it reads {hook or 'an unknown place'} (hook_name), not the residual stream at the output of a block "
        "(blocks.N.hook_resid_post or blocks.N.hook_resid_pre)"
    )
