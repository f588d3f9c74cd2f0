"""How large a model is, told by the headers of its files, its YAML or its config.json: no weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindgap.backends.local.files import base_of, files_of, is_adapter, is_folder, json_in, quantisation_of
from mindgap.backends.local.weights import DamagedError, tensors_in
from mindgap.core.model import ModelSpec

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""Names that configurations have for the number of experts in a layer."""


def weight_bytes(model: ModelSpec, bytes_per_number: int) -> float | None:
    """Bytes that the model's weights take in memory; None where nothing tells.

    Args:
        model: What its files say goes before what its YAML says (`parameters_b`).
        bytes_per_number: Of the numeric type that it is loaded as. Quantised weights stay as they are.
    """
    folder = None if model.embedded else files_of(model)
    if folder is not None and is_adapter(folder):
        base = base_of(model, folder)
        return weight_bytes(base, bytes_per_number) if base else None
    config = json_in(folder, "config.json") if folder else {}
    in_files = _in_files(folder) if folder and (is_folder(model) or _is_complete(folder)) else None
    if in_files is not None:
        numbers, size = in_files
        return size if quantisation_of(config) else numbers * bytes_per_number
    if model.parameters_b is not None:
        return model.parameters_b * 1e9 * bytes_per_number
    parameters = parameters_of(config)
    return None if parameters is None else parameters * bytes_per_number


def _in_files(folder: Path) -> tuple[int, int] | None:
    """How many numbers the weights in a folder are, and their bytes there; None where they cannot be told."""
    try:
        tensors = [tensor for file in folder.glob("*.safetensors") for tensor in tensors_in(file).values()]
    except (OSError, DamagedError):
        return None
    return (sum(t.numbers for t in tensors), sum(t.size for t in tensors)) if tensors else None


def _is_complete(folder: Path) -> bool:
    """Whether a folder of the Hugging Face cache holds all weights of its model."""
    shards = set(json_in(folder, "model.safetensors.index.json").get("weight_map", {}).values())
    return all((folder / shard).is_file() for shard in shards or {"model.safetensors"})


def parameters_of(config: Mapping[str, Any]) -> float | None:
    """Parameters of the text model that a config.json describes, to some percent; None where it tells no sizes.

    Counted are embeddings, attention and gated feed-forward layers, of all experts where there are several. What the
    model sees and hears with is not.
    """
    text = config.get("text_config")
    own = {**config, **text} if isinstance(text, Mapping) else dict(config)
    sizes: list[int] = [
        size for name in ("hidden_size", "num_hidden_layers", "vocab_size") if isinstance(size := own.get(name), int)
    ]
    if len(sizes) < 3:
        return None
    width, layers, vocabulary = sizes
    heads = _size(own, "num_attention_heads", 1)
    keys = _size(own, "num_key_value_heads", heads)
    head = _size(own, "head_dim", width // heads)
    inner = _size(own, "intermediate_size", 4 * width)
    experts = max(_size(own, name, 0) for name in EXPERTS)
    feed_forward = 3 * width * (experts * _size(own, "moe_intermediate_size", inner) if experts else inner)
    attention = 2 * width * head * (heads + keys)
    embeddings = vocabulary * width * (1 if own.get("tie_word_embeddings") else 2)
    return float(layers * (attention + feed_forward) + embeddings)


def _size(config: Mapping[str, Any], name: str, otherwise: int) -> int:
    size = config.get(name)
    return size if isinstance(size, int) and size > 0 else otherwise
