"""Files of steering vectors: ours, repeng's, steering-vectors', and plain arrays. Nothing in them is ever run.

`n` in a file means the output of block `n`, as in repeng, steering-vectors and mindgap. Names that say otherwise are
read as they say (`blocks.5.hook_resid_pre` is the output of block 4) or refused (`blocks.5.mlp`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.core.errors import ConfigError, first_line
from mindgap.storage.atomic import replacing

RECEIPT = "mindgap"
"""Name of the receipt among a file's metadata; beside the file it is `<file>.json`."""
ELSEWHERE = re.compile(r"mlp|attn|attention|resid_mid|layernorm|embed", re.IGNORECASE)
"""In a tensor's name: it is no block's output that it is added to."""
STEERING_VECTOR = "steering_vectors.steering_vector.SteeringVector"


@dataclass(frozen=True)
class VectorSet:
    """What a file of steering vectors holds.

    Attributes:
        by_layer: float32 `[d_model]` each, by number; empty where the file numbers nothing.
        rows: `[rows, d_model]`, where the file is one array; a single vector is one row.
        form: The kind of file, for people.
        receipt: What the file says of where its vectors come from.
    """

    by_layer: Mapping[int, np.ndarray] = field(default_factory=dict)
    rows: np.ndarray | None = None
    form: str = ""
    receipt: Mapping[str, Any] = field(default_factory=dict)


class SteeringVectorStandIn:
    """Takes the fields of a pickled `SteeringVector`; its own class is neither needed nor run."""

    layer_activations: Mapping[int, Any]
    layer_type: str = "decoder_block"


def read_vectors(path: Path) -> VectorSet:
    """The vectors in a file.

    Raises:
        ConfigError: There is no such file, it is of no known kind, or what is in it is no steering vector.
    """
    if path.suffix not in READERS:
        raise ConfigError(f"{path}: {path.suffix or 'no ending'} is no kind of vector file; there are {_known()}")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    try:
        found = READERS[path.suffix](path)
    except ConfigError:
        raise
    except Exception as error:  # each library raises its own kinds over a damaged file
        said = f"{type(error).__name__}: {first_line(error, 200)}"
        raise ConfigError(f"{path} cannot be read as {path.suffix} ({said})") from error
    beside = path.with_name(f"{path.name}.json")
    if beside.is_file() and not found.receipt:
        return VectorSet(found.by_layer, found.rows, found.form, json.loads(beside.read_text(encoding="utf-8")))
    return found


def layer_of(name: str, path: Path) -> int | None:
    """The block at whose output a tensor of this name is added, None where the name has no number.

    Raises ConfigError for a place that is no block's output.
    """
    numbers = re.findall(r"\d+", name)
    if not numbers:
        return None
    if ELSEWHERE.search(name):
        raise ConfigError(f"{path}: {name} is not added to the output of a block; mindgap steers there alone")
    number = int(numbers[-1])
    if "resid_pre" in name:
        number -= 1
    if number < 0:
        raise ConfigError(f"{path}: {name} is added before the first block; mindgap steers the outputs of blocks")
    return number


def _named(tensors: Mapping[Any, Any], path: Path, form: str, receipt: Mapping[str, Any] | None = None) -> VectorSet:
    arrays = {str(name): _array(tensor) for name, tensor in tensors.items()}
    numbers = {name: layer_of(name, path) for name in arrays}
    if len(arrays) == 1 and (next(iter(numbers.values())) is None or next(iter(arrays.values())).ndim == 2):
        return VectorSet(rows=np.atleast_2d(next(iter(arrays.values()))), form=form, receipt=receipt or {})
    by_layer: dict[int, np.ndarray] = {}
    for name, array in arrays.items():
        number = numbers[name]
        if number is None:
            raise ConfigError(f"{path}: {name!r} does not say which block it belongs to; name it layer_N")
        if number in by_layer:
            raise ConfigError(f"{path}: two tensors are for block {number}; {name!r} is one of them")
        if array.ndim != 1:
            raise ConfigError(f"{path}: {name!r} has shape {array.shape}; a steering vector has one axis")
        by_layer[number] = array
    if not by_layer:
        raise ConfigError(f"{path} holds no vector")
    return VectorSet(dict(sorted(by_layer.items())), form=form, receipt=receipt or {})


def _array(tensor: Any) -> np.ndarray:
    """float32, without axes of length 1 before the last."""
    array = np.array(tensor.detach().float().cpu().numpy() if hasattr(tensor, "detach") else tensor, dtype=np.float32)
    return array.reshape([size for size in array.shape[:-1] if size > 1] + list(array.shape[-1:]))


def _one(array: np.ndarray, path: Path, form: str) -> VectorSet:
    rows = np.atleast_2d(_array(array))
    if rows.ndim != 2:
        raise ConfigError(f"{path} has shape {np.shape(array)}; give [d_model] or [blocks, d_model]")
    return VectorSet(rows=rows, form=form)


def _read_safetensors(path: Path) -> VectorSet:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:  # numpy knows no bfloat16
        receipt = json.loads((file.metadata() or {}).get(RECEIPT, "{}"))
        return _named({name: file.get_tensor(name) for name in file.keys()}, path, "safetensors", receipt)  # noqa: SIM118


def _read_npy(path: Path) -> VectorSet:
    return _one(np.load(path, allow_pickle=False), path, "NumPy array")


def _read_npz(path: Path) -> VectorSet:
    with np.load(path, allow_pickle=False) as arrays:
        return _named(dict(arrays), path, "NumPy arrays")


def _read_torch(path: Path) -> VectorSet:
    """`torch.save` of a tensor, of a dict of them, or of a SteeringVector, whose fields alone are read."""
    import torch

    with torch.serialization.safe_globals([(SteeringVectorStandIn, STEERING_VECTOR)]):
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(loaded, SteeringVectorStandIn):
        if loaded.layer_type != "decoder_block":
            raise ConfigError(
                f"{path}: a SteeringVector for {loaded.layer_type!r}; mindgap steers the outputs of blocks, "
                "layer_type='decoder_block'"
            )
        return _named(loaded.layer_activations, path, "steering-vectors")
    if isinstance(loaded, Mapping):
        inner = loaded.get("layer_activations", loaded)
        return _named({name: value for name, value in inner.items() if hasattr(value, "shape")}, path, "PyTorch")
    if hasattr(loaded, "shape"):
        return _one(loaded, path, "PyTorch")
    raise ConfigError(f"{path} holds a {type(loaded).__name__}; give a tensor, or a dict of them by block")


def _read_gguf(path: Path) -> VectorSet:
    """A control vector of repeng or llama.cpp: `direction.N`."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors if tensor.name.startswith("direction.")}
    hint = reader.get_field("controlvector.model_hint")
    receipt = {"model": bytes(hint.parts[-1]).decode(errors="replace")} if hint else {}
    if (kept := reader.get_field(f"{RECEIPT}.receipt")) is not None:
        receipt = json.loads(bytes(kept.parts[-1]).decode())
    return _named(tensors, path, "GGUF control vector", receipt)


READERS: dict[str, Callable[[Path], VectorSet]] = {
    ".safetensors": _read_safetensors,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".bin": _read_torch,
    ".gguf": _read_gguf,
}


def write_vectors(path: Path, vectors: Mapping[int, np.ndarray], receipt: Mapping[str, Any]) -> None:
    """Write vectors `[d_model]` by block, with the receipt inside where the format has room, and always beside.

    Raises:
        ConfigError: The ending names no format that is written; or `.npy` for blocks that are not all, from the first.
    """
    if path.suffix not in WRITERS:
        raise ConfigError(f"{path}: choose one of the endings {', '.join(WRITERS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {layer: np.ascontiguousarray(vector, dtype=np.float32) for layer, vector in sorted(vectors.items())}
    with replacing(path) as temporary:
        WRITERS[path.suffix](temporary, arrays, receipt)
    with replacing(path.with_name(f"{path.name}.json")) as temporary:
        temporary.write_text(json.dumps(receipt, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_safetensors(path: Path, vectors: Mapping[int, np.ndarray], receipt: Mapping[str, Any]) -> None:
    from safetensors.numpy import save_file

    save_file({f"layer_{layer}": vector for layer, vector in vectors.items()}, path, {RECEIPT: json.dumps(receipt)})


def _write_npy(path: Path, vectors: Mapping[int, np.ndarray], receipt: Mapping[str, Any]) -> None:
    if len(vectors) > 1 and list(vectors) != list(range(len(vectors))):
        raise ConfigError(f".npy has no names for blocks {list(vectors)}: choose .safetensors, .npz, .pt or .gguf")
    stacked = np.stack(list(vectors.values()))
    with path.open("wb") as file:
        np.save(file, stacked[0] if len(vectors) == 1 else stacked)


def _write_npz(path: Path, vectors: Mapping[int, np.ndarray], receipt: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **{f"layer_{layer}": vector for layer, vector in vectors.items()})  # type: ignore[arg-type]


def _write_torch(path: Path, vectors: Mapping[int, np.ndarray], receipt: Mapping[str, Any]) -> None:
    """`{block: tensor}`, what `SteeringVector(layer_activations=…)` of steering-vectors takes."""
    import torch

    torch.save({layer: torch.from_numpy(vector) for layer, vector in vectors.items()}, path)


def _write_gguf(path: Path, vectors: Mapping[int, np.ndarray], receipt: Mapping[str, Any]) -> None:
    """What `ControlVector.import_gguf` of repeng and `--control-vector` of llama.cpp take."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", str(receipt.get("architecture", "unknown")))
    writer.add_uint32("controlvector.layer_count", len(vectors))
    writer.add_string(f"{RECEIPT}.receipt", json.dumps(receipt))
    for layer, vector in vectors.items():
        writer.add_tensor(f"direction.{layer}", vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


WRITERS: dict[str, Callable[[Path, Mapping[int, np.ndarray], Mapping[str, Any]], None]] = {
    ".safetensors": _write_safetensors,
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".pt": _write_torch,
    ".gguf": _write_gguf,
}


def _known() -> str:
    return ", ".join(READERS)
