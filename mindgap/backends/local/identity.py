"""Which weights, which tokenizer, which settings: hashes over all files that shape what a model answers."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from mindgap.storage.hashes import file_hash

ANSWER_FILES = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*/*.jinja",
    "tokenizer.model",
    "*.tiktoken",
    "merges.txt",
    "vocab.txt",
    "*.spm",
    "spiece.model",
    "sentencepiece*",
)
"""What decides a local model's output: weights, configuration, generation settings, tokenizer, chat templates."""


def folder_hash(folder: Path, *, code: bool = False) -> str:
    """Hex SHA-256 over the names and contents of a model folder's files.

    Hashing large weights takes seconds per 10 GB, so each file's hash is kept in the cache folder by path, size and
    modification time.

    Args:
        folder: The model's.
        code: Whether code that comes with the model is run, and so decides its output too.
    """
    patterns = (*ANSWER_FILES, "*.py") if code else ANSWER_FILES
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    content = [(path.relative_to(folder).as_posix(), file_hash(path)) for path in files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def code_hash(*objects: Any) -> str:
    """Hex SHA-256 over the code that came with a model and that `objects` are made of; `none` where none came.

    transformers copies such code to a package of its own, `transformers_modules`, from wherever it comes: also from
    another repository than that of the weights.
    """
    names = {type(thing).__module__ for thing in objects if type(thing).__module__.startswith("transformers_modules")}
    files = sorted(
        {file for name in names if (path := sys.modules[name].__file__) for file in Path(path).parent.glob("*.py")}
    )
    if not files:
        return "none"
    content = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
