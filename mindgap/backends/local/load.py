"""Loading a model for the engine, and saying exactly which weights it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mindgap.backends.local.files import (
    ADAPTER,
    adapter_of,
    base_of,
    class_of,
    files_lack,
    files_of,
    is_adapter,
    is_folder,
    quantisation_of,
)
from mindgap.backends.local.identity import code_hash, folder_hash
from mindgap.core.errors import UnavailableError, first_line
from mindgap.core.model import ModelSpec

log = logging.getLogger(__name__)

NAMED = 3
"""How many weights a message names."""


@dataclass(frozen=True)
class Loaded:
    """A model that has been read.

    Attributes:
        model: The causal LM.
        tokenizer: Its tokenizer.
        identity: Model id with its hub revision or the hash of its files, and the numeric type.
    """

    model: Any
    tokenizer: Any
    identity: str


def load(spec: ModelSpec, *, device: str, dtype: str) -> Loaded:
    """Load `spec`; weights come from safetensors only, and all of them have to be there.

    Args:
        spec: The model, with an adapter of PEFT where it names one; or an adapter itself, which is loaded onto the
            model that it was trained on.
        device: `auto`, `cpu`, `cuda`, …
        dtype: `auto`, `float32`, `bfloat16` or `float16`; `auto` is float32 on a CPU and bfloat16 on an accelerator.

    Raises:
        UnavailableError: Where the model cannot be read, in a sentence.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device, dtype = placed(device, dtype)
    folder = None if spec.embedded else files_of(spec)
    if spec.adapter is not None:
        loaded = _load_adapter(adapter_of(spec), replace(spec, adapter=None), device, dtype)
    elif folder is not None and is_adapter(folder):
        base = base_of(spec, folder)
        assert base is not None  # `files_lack` refused it otherwise
        loaded = _load_adapter(spec, base, device, dtype)
    else:
        loaded = _load_model(spec, _source(spec), device, dtype)
    return Loaded(loaded.model, loaded.tokenizer, f"{loaded.identity}/{dtype}")


def placed(device: str, dtype: str) -> tuple[str, str]:
    """The device and the numeric type that `auto` means on this machine; others as they are."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    return device, dtype


@dataclass(frozen=True)
class Described:
    """What a model's files tell without its weights.

    Attributes:
        name: The folder, or the id of the hub, that it is read from.
        revision: Of the hub; None for a folder.
        config: Of its text part.
        tokenizer: Its tokenizer.
        stops: Ids that end a reply.
        identity: Model id with its hub revision or the hash of its files; without a numeric type.
    """

    name: str
    revision: str | None
    config: Any
    tokenizer: Any
    stops: frozenset[int]
    identity: str


def describe(spec: ModelSpec) -> Described:
    """Read all of a model's files but its weights, which something else has loaded or will load.

    Raises:
        UnavailableError: Where they cannot be read, or are an adapter's.
    """
    import transformers

    from mindgap.backends.local.architecture import stop_tokens

    transformers.logging.set_verbosity_error()
    folder = files_of(spec)
    if spec.adapter is not None or (folder is not None and is_adapter(folder)):
        name = f"hf_id={spec.hf_id}" if spec.adapter is None else f"adapter={spec.adapter}"
        raise UnavailableError(
            f"model.{name} is an adapter; merge it into its model (peft's merge_and_unload) and serve that"
        )
    source = _source(spec)
    where = {"revision": source.revision, "trust_remote_code": spec.trust_remote_code}
    with _reading(spec, "configuration"):
        config = transformers.AutoConfig.from_pretrained(source.name, **where)
        try:
            generation = transformers.GenerationConfig.from_pretrained(source.name, revision=source.revision)
        except OSError:  # there is none: transformers makes one from the configuration
            generation = transformers.GenerationConfig.from_model_config(config)
    with _reading(spec, "tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.name, **where)
    return Described(
        source.name,
        source.revision,
        config.get_text_config(decoder=True),
        tokenizer,
        stop_tokens(generation, tokenizer),
        source.identity or f"{spec.hf_id}@{_commit(spec, config)}",
    )


@dataclass(frozen=True)
class _Source:
    """Where a model is read from.

    Attributes:
        name: A folder, or an id of the hub.
        revision: Of the hub; None for a folder.
        identity: Where it can be told from files before loading.
    """

    name: str
    revision: str | None
    identity: str | None


def _source(spec: ModelSpec) -> _Source:
    if spec.embedded:
        from mindgap.backends.local.embedded import embedded_model, packaged_of

        embedded = embedded_model(packaged=packaged_of(spec))
        return _Source(str(embedded.path), None, embedded.identity)
    assert spec.hf_id is not None  # `LocalBackend.lacks` refused it otherwise
    if not is_folder(spec):
        return _Source(spec.hf_id, spec.revision, None)
    if missing := files_lack(spec):
        raise UnavailableError(f"model.hf_id={spec.hf_id}: it lacks {'; '.join(missing)}")
    folder = files_of(spec)
    assert folder is not None
    return _Source(str(folder), None, f"{folder.name}@{folder_hash(folder, code=spec.trust_remote_code)}")


def _load_model(spec: ModelSpec, source: _Source, device: str, dtype: str) -> Loaded:
    import torch
    import transformers

    where = {"revision": source.revision, "trust_remote_code": spec.trust_remote_code}
    with _reading(spec, "configuration"):
        config = transformers.AutoConfig.from_pretrained(source.name, **where)
    with _reading(spec, "tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.name, **where)
    with _reading(spec, "weights"):
        auto_class = getattr(transformers, class_of(config.model_type) or "AutoModelForCausalLM")
        model, info = auto_class.from_pretrained(
            source.name,
            **where,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            device_map=None if device == "cpu" else device,
            output_loading_info=True,
        )
    _check_weights(spec, model, info)
    identity = source.identity or f"{spec.hf_id}@{_commit(spec, config)}"
    if spec.trust_remote_code:
        identity += f"+code:{code_hash(model, tokenizer)}"
    return Loaded(model, tokenizer, identity)


def _load_adapter(spec: ModelSpec, base_spec: ModelSpec, device: str, dtype: str) -> Loaded:
    """An adapter on its base. Its layers stay beside those of the base, as PEFT itself reads them."""
    import peft

    folder = files_of(spec)
    if folder is None or not is_adapter(folder):
        raise UnavailableError(f"{spec.hf_id} is no adapter on this machine: it has no {ADAPTER}")
    source = _source(spec)
    with _reading(spec, "adapter"):
        settings = peft.PeftConfig.from_pretrained(source.name, revision=source.revision)
    if settings.is_prompt_learning:
        raise UnavailableError(
            f"model.hf_id={spec.hf_id}: an adapter of the kind {settings.peft_type} puts tokens before the prompt, "
            "which cannot be steered here; adapters that change the model's layers can (LoRA, IA3 …)"
        )
    base = _load_model(base_spec, _source(base_spec), device, dtype)
    with _reading(spec, "adapter"):
        adapted = peft.PeftModel.from_pretrained(base.model, source.name, revision=source.revision, config=settings)
        expected = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
        there = set(peft.load_peft_weights(source.name, device="cpu", revision=source.revision))
    if absent := sorted(expected - there):
        raise UnavailableError(f"model.hf_id={spec.hf_id}: the adapter lacks weights: {_some(absent)}")
    tokenizer = base.tokenizer
    if any(folder.glob("tokenizer*")):
        import transformers

        with _reading(spec, "tokenizer"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                source.name, revision=source.revision, trust_remote_code=spec.trust_remote_code
            )
    identity = source.identity or f"{spec.hf_id}@{_commit(spec, settings)}"
    return Loaded(adapted.get_base_model(), tokenizer, f"{identity}+{base.identity}")


@contextmanager
def _reading(spec: ModelSpec, what: str) -> Iterator[None]:
    """Turn whatever transformers raises while it reads into one sentence that names the model."""
    import torch

    try:
        yield
    except UnavailableError:
        raise
    except torch.OutOfMemoryError as error:
        raise UnavailableError(
            f"model={spec.name}: the GPU has no room for its weights ({_named(error)}). Free it and start "
            "anew, or choose backend.device=cpu or a smaller backend.dtype"
        ) from error
    except Exception as error:  # files are not what they seem in more ways than errors are declared for
        if "trust_remote_code" in str(error):
            advice = "it comes with code of its own: read that, then set model.trust_remote_code=true to run it"
        elif is_folder(spec) or spec.embedded:
            advice = "check or replace the files in that folder"
        else:
            advice = (
                f"download it on a machine with network (`hf download {spec.hf_id}`), or give a local folder: "
                "model.hf_id=/path/to/it"
            )
        raise UnavailableError(
            f"model.hf_id={spec.hf_id}: its {what} could not be loaded ({_named(error)}); {advice}"
        ) from error


def _check_weights(spec: ModelSpec, model: Any, info: Mapping[str, Any]) -> None:
    """Refuse a model of which not every weight came from its files, or whose files hold more of its layers."""
    trouble = None
    if missing := sorted(info["missing_keys"]):
        trouble = f"its files lack weights: {_some(missing)}. Random numbers would stand in their place"
    elif mismatched := sorted(str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"]):
        trouble = f"weights in its files have other shapes than its config.json says: {_some(mismatched)}"
    elif errors := info.get("error_msgs"):
        trouble = f"its weights could not be loaded: {str(errors[0] if isinstance(errors, list) else errors)[:200]}"
    elif quantisation_of(model.config.to_dict()) is None and (left := _left_out(model, info["unexpected_keys"])):
        trouble = f"its files hold weights that its config.json makes no use of: {_some(left)}"
    if trouble:
        raise UnavailableError(
            f"model.hf_id={spec.hf_id}: {trouble}. Download the model again, or correct its config.json"
        )
    if info["unexpected_keys"]:
        log.info("%s: weights that are not used: %s", spec.name, _some(sorted(info["unexpected_keys"])))


def _left_out(model: Any, unexpected: Sequence[str]) -> list[str]:
    """Weights without a place in a layer that the model has, or of one more layer: with them it would answer otherwise.

    Parts that are not opened at all (what a model sees or hears with, layers that predict several tokens) are none.
    """
    from torch import nn

    config = model.config.get_text_config(decoder=True)
    layers = int(getattr(config, "num_hidden_layers", 0))
    predicts_ahead = any("nextn" in name or "mtp" in name for name in vars(config))
    modules = dict(model.named_modules())
    block_lists = {name for name, part in modules.items() if isinstance(part, nn.ModuleList) and len(part) == layers}
    left = []
    for key in sorted(unexpected):
        parent = modules.get(key.rpartition(".")[0])
        is_layer = parent is not None and not [*parent.children()] and bool([*parent.parameters(recurse=False)])
        beyond = not predicts_ahead and any(
            int(part) >= layers and prefix in block_lists for prefix, part in _numbered(key)
        )
        if is_layer or beyond:
            left.append(key)
    return left


def _numbered(key: str) -> Iterator[tuple[str, str]]:
    """Each part of a dotted name that is a number, after what stands before it."""
    parts = key.split(".")
    for place, part in enumerate(parts):
        if part.isdecimal():
            yield ".".join(parts[:place]), part


def _commit(spec: ModelSpec, config: Any) -> str:
    """The commit of the hub that was loaded: the name of the folder in the cache that holds its files."""
    folder = files_of(spec)
    if folder is not None and folder.parent.name == "snapshots":
        return folder.name
    return str(getattr(config, "_commit_hash", None) or spec.revision or "unknown")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error, 300)}"
