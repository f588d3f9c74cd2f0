"""Loading a model for the engine, and saying exactly which weights it is."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.storage.hashes import file_hash

log = logging.getLogger(__name__)

WEIGHT_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
"""What decides a local model's output: weights, configuration, tokenizer, chat template."""


@dataclass(frozen=True)
class Loaded:
    """identity: model id with its hub revision or the hash of its files, without the numeric type."""

    model: Any
    tokenizer: Any
    identity: str


def load(spec: ModelSpec, *, device: str, dtype: str) -> Loaded:
    """Load `spec` onto `device` (`auto`, `cpu`, `cuda`, …) as `dtype` (`auto`, `float32`, `bfloat16`, `float16`).

    Weights come from safetensors only. `auto` means float32 on a CPU and bfloat16 on an accelerator.
    Raises UnavailableError where the weights cannot be had.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    source, identity = _source(spec)
    revision = None if Path(source).is_dir() else spec.revision
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            revision=revision,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            device_map=None if device == "cpu" else device,
        )
    except OSError as error:
        raise UnavailableError(
            f"model.hf_id={spec.hf_id}: its weights could not be loaded ({_first_line(error)}). Download them on a "
            f"machine with network (`hf download {spec.hf_id}`), or give a local folder: model.hf_id=/path/to/it"
        ) from error
    identity = identity or f"{spec.hf_id}@{model.config._commit_hash or spec.revision or 'unknown'}"
    return Loaded(model, tokenizer, f"{identity}/{dtype}")


def _source(spec: ModelSpec) -> tuple[str, str | None]:
    """Where to load from, and the identity if it can be told from files: (folder or hub id, identity)."""
    if spec.embedded:
        from mindgap.backends.local.embedded import embedded_model

        embedded = embedded_model()
        return str(embedded.path), embedded.identity
    assert spec.hf_id is not None  # `LocalBackend.lacks` refused it otherwise
    folder = Path(spec.hf_id).expanduser()
    return (str(folder), f"{folder.name}@{folder_hash(folder)}") if folder.is_dir() else (spec.hf_id, None)


def folder_hash(folder: Path) -> str:
    """Hex SHA-256 over the names and contents of a model folder's files.

    Hashing large weights takes seconds per 10 GB, so each file's hash is kept in the cache folder by path, size and
    modification time.
    """
    files = sorted({path for pattern in WEIGHT_FILES for path in folder.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise UnavailableError(
            f"model.hf_id={folder}: the folder holds no .safetensors file; other formats are not loaded"
        )
    return hashlib.sha256(json.dumps([(path.name, file_hash(path)) for path in files]).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
