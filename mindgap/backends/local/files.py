"""What a model's files say of it before any of its weights are read, and what they lack.

Only a folder on this machine can lack something: what the Hugging Face cache does not hold of a model yet is
downloaded when the model is opened.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mindgap.backends.local.weights import DamagedError, tensors_in
from mindgap.core.model import ModelSpec

TOKENIZER_FILES = ("tokenizer*", "*.tiktoken", "vocab.*", "*.spm", "spiece.model", "sentencepiece*", "tekken.json")
"""At least one of these is there where there is a tokenizer."""
ADAPTER = "adapter_config.json"
"""The file by which PEFT knows a folder that holds what fine-tuning has added to a model."""
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "aqlm": ("aqlm",),
    "auto-round": ("auto_round",),
    "awq": ("gptqmodel",),
    "bitnet": (),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed_tensors",),
    "eetq": ("kernels",),
    "fbgemm_fp8": ("fbgemm_gpu",),
    "fouroversix": ("fouroversix",),
    "fp8": (),
    "fp_quant": ("fp_quant",),
    "gptq": ("optimum", "gptqmodel"),
    "higgs": ("flute", "fast_hadamard_transform"),
    "hqq": ("hqq",),
    "metal": ("kernels",),
    "mxfp4": (),
    "mxfp8": (),
    "nvfp4": ("kernels",),
    "quanto": ("optimum.quanto",),
    "quark": ("quark",),
    "sinq": ("sinq",),
    "spqr": ("spqr_quant",),
    "torchao": ("torchao",),
    "vptq": ("vptq",),
}
"""Modules that weights of each kind of quantisation need beside transformers."""
INSTALLED_AS = {
    "fast_hadamard_transform": "fast-hadamard-transform",
    "flute": "flute-kernel",
    "optimum.quanto": "optimum-quanto",
    "quark": "amd-quark",
}
"""Names of packages, where they are not those of their modules."""


def is_folder(model: ModelSpec) -> bool:
    """Whether `model.hf_id` is a folder on this machine."""
    return model.hf_id is not None and Path(model.hf_id).expanduser().is_dir()


def files_of(model: ModelSpec) -> Path | None:
    """The folder that holds the model's files as far as they are on this machine; None where none are."""
    if model.hf_id is None:
        return None
    if is_folder(model):
        return Path(model.hf_id).expanduser()
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for name in ("config.json", ADAPTER):
        try:
            path = try_to_load_from_cache(model.hf_id, name, revision=model.revision)
        except HFValidationError:  # it has not the form of an id
            return None
        if isinstance(path, str):
            return Path(path).parent
    return None


def stamp_of(model: ModelSpec) -> tuple[object, ...]:
    """Names, sizes and times of the model's files, and of those of the model that an adapter belongs to."""
    if model.adapter is not None:
        return (stamp_of(replace(model, adapter=None)), stamp_of(adapter_of(model)))
    folder = None if model.embedded else files_of(model)
    if folder is None:
        return ()
    stats = ((path.relative_to(folder), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    own = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
    base = base_of(model, folder) if is_adapter(folder) else None
    return (own, stamp_of(base)) if base else own


def json_in(folder: Path, name: str) -> dict[str, Any]:
    """What a JSON file in a folder says; empty where the file is not there or says nothing."""
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter of PEFT."""
    return (folder / ADAPTER).is_file()


def adapter_of(model: ModelSpec) -> ModelSpec:
    """The adapter that `model.adapter` names, as `files_of` and others take a model."""
    return ModelSpec(model.name, hf_id=model.adapter)


def named_adapter_lacks(model: ModelSpec) -> list[str]:
    """What `model.adapter` lacks to be loaded onto the model, one thing a phrase."""
    if model.adapter is None:
        return []
    own = adapter_of(model)
    folder = files_of(own)
    if folder is None or not is_adapter(folder):
        return [f"an adapter (model.adapter={model.adapter}): there is no {ADAPTER} of it on this machine"]
    if not _is_importable("peft"):
        return [f"the package peft: {model.adapter} is an adapter (pip install peft)"]
    return _weights_lack(folder) if is_folder(own) else []


def base_of(model: ModelSpec, folder: Path) -> ModelSpec | None:
    """The model that an adapter in `folder` was trained on; None where its configuration does not say."""
    settings = json_in(folder, ADAPTER)
    base = settings.get("base_model_name_or_path")
    if not base:
        return None
    return ModelSpec(
        model.name, hf_id=str(base), revision=settings.get("revision"), trust_remote_code=model.trust_remote_code
    )


def files_lack(model: ModelSpec) -> list[str]:
    """What the files of a model with an `hf_id` lack, one thing a phrase; reads no weights."""
    folder = files_of(model)
    if folder is None:
        return [_nothing_there(str(model.hf_id))]
    if is_adapter(folder):
        return _adapter_lacks(model, folder)
    missing = [*_config_lacks(model, folder)]
    if is_folder(model):
        missing += _weights_lack(folder)
        if not any(path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)):
            missing.append(f"a tokenizer: {folder} holds none of the files that one is read from (tokenizer.json …)")
    return missing


def _nothing_there(hf_id: str) -> str:
    path = Path(hf_id).expanduser()
    if path.is_file():
        return f"a folder of safetensors files: model.hf_id={hf_id} is {_kind(path)}"
    siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f" (did you mean {path.parent / near[0]}?)" if near else ""
    if hf_id.startswith(("/", ".", "~")) or hf_id.count("/") > 1:
        return f"the model: model.hf_id={hf_id} is no folder here{hint}"
    return f"the weights: hf download {hf_id}, or model.hf_id=/folder/with/them{hint}"


def _kind(file: Path) -> str:
    if file.suffix == ".gguf":
        return f"a GGUF file, which is not loaded as it is: {CONVERT_GGUF}"
    return "a file; name the folder that it is in"


CONVERT_GGUF = (
    "convert it once with transformers (from_pretrained(folder, gguf_file=name) of model and tokenizer, then "
    "save_pretrained), or take the original weights"
)


def _config_lacks(model: ModelSpec, folder: Path) -> list[str]:
    path = folder / "config.json"
    if not path.is_file():
        return [f"a configuration: {folder} holds no config.json"]
    config = json_in(folder, "config.json")
    if not config:
        return [f"a configuration: {path} is no JSON, or empty"]
    return [*_code_lacks(model, config), *quantisation_lacks(config)]


def _code_lacks(model: ModelSpec, config: Mapping[str, Any]) -> list[str]:
    """Whether transformers knows a model of this kind as a causal language model, or may run the code it brings."""
    brings_code = "auto_map" in config
    if brings_code and model.trust_remote_code:
        return []
    kind = config.get("model_type")
    if importlib.util.find_spec("transformers") is None:
        return []  # said elsewhere
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    offer = (
        "model.trust_remote_code=true runs the code that comes with it: read that first"
        if brings_code
        else "a newer version may"
    )
    if kind not in CONFIG_MAPPING_NAMES:
        named = f"model_type {kind!r}" if kind else "a model without model_type in its config.json"
        return [f"code for {named}: transformers {transformers.__version__} has none ({offer})"]
    if class_of(str(kind)) is None:
        return [f"a causal language model: in transformers, model_type {kind!r} is none"]
    return []


def class_of(model_type: str) -> str | None:
    """The class of transformers that opens models of this kind as language models: `AutoModel…`; None: none does.

    A model that also sees is opened whole where its text part cannot be opened alone.
    """
    from transformers.models.auto import modeling_auto

    if model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "AutoModelForCausalLM"
    if model_type in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return "AutoModelForImageTextToText"
    return None


def quantisation_lacks(config: Mapping[str, Any]) -> list[str]:
    """The packages that quantised weights need and that are not installed."""
    settings = quantisation_of(config)
    if settings is None:
        return []
    method = str(settings.get("quant_method") or ("bitsandbytes" if _is_bitsandbytes(settings) else None))
    if method not in PACKAGES:
        return [f"a way to read its weights: they are quantised as {method!r}, which is not known here"]
    absent = [module for module in PACKAGES[method] if not _is_importable(module)]
    names = " and ".join(INSTALLED_AS.get(module, module.replace("_", "-")) for module in absent)
    plural = "s" if len(absent) > 1 else ""
    return [f"the package{plural} {names}, which its weights, quantised by {method}, need"] if absent else []


def quantisation_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How a configuration says that the weights are quantised; None where they are not."""
    for part in (config, config.get("text_config")):
        settings = part.get("quantization_config") if isinstance(part, Mapping) else None
        if isinstance(settings, Mapping):
            return settings
    return None


def _is_bitsandbytes(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("load_in_4bit") or settings.get("load_in_8bit"))


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def _weights_lack(folder: Path) -> list[str]:
    """What is missing or damaged among the files of weights."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        others = [path for pattern in ("*.gguf", "*.bin", "*.pt", "*.pth") for path in folder.glob(pattern)]
        if not others:
            return [f"weights: {folder} holds no .safetensors file"]
        advice = CONVERT_GGUF if others[0].suffix == ".gguf" else "save it with safe_serialization=True"
        return [f"weights as safetensors: {folder} holds {others[0].name}, which is not loaded as it is ({advice})"]
    try:
        index: Any = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        shards = sorted(set(index["weight_map"].values()))
    except FileNotFoundError:
        shards = []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [f"weights: {folder / 'model.safetensors.index.json'} cannot be read. Download it again"]
    if absent := [shard for shard in shards if not (folder / shard).is_file()]:
        return [f"weights: {len(absent)} of {len(shards)} files are missing in {folder}, the first of them {absent[0]}"]
    for file in files:
        try:
            tensors_in(file)
        except DamagedError as error:
            return [f"weights that can be read: {error}. Download it again ({folder})"]
    return []


def _adapter_lacks(model: ModelSpec, folder: Path) -> list[str]:
    """What stands between an adapter of PEFT and the model it was trained on."""
    if not _is_importable("peft"):
        return [f"the package peft: {model.hf_id} is an adapter (pip install peft)"]
    base = base_of(model, folder)
    if base is None:
        return [f"the model that the adapter belongs to: {folder / ADAPTER} names none as base_model_name_or_path"]
    missing = [f"for the adapter's base model {base.hf_id}: {phrase}" for phrase in files_lack(base)]
    if is_folder(model):
        missing += _weights_lack(folder)
    return missing
