"""Whether a model fits the memory here, told before anything of it is read, and without loading torch."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from mindgap.backends.local.sizes import weight_bytes
from mindgap.core.model import ModelSpec

SPARE = 1.2
"""Memory of weights, times this: keys, values and activations need about a fifth more."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
SPREAD = ("balanced", "balanced_low_0", "sequential")
"""Settings of `device` that spread a model over all cards."""


@dataclass(frozen=True)
class Room:
    """Memory that a model could be loaded into.

    Attributes:
        gigabytes: How much there is.
        where: What it is of, for messages.
        on_gpu: Whether it is a GPU's.
    """

    gigabytes: float
    where: str
    on_gpu: bool


def memory_lacks(model: ModelSpec, *, device: str, dtype: str) -> list[str]:
    """What the memory here lacks to hold `model`, one sentence at most; empty where its size is not known.

    Args:
        model: Its size is told by the headers of its files, by `parameters_b`, or by its config.json.
        device: As in `backend.device`.
        dtype: As in `backend.dtype`; `auto` is float32 on a CPU and bfloat16 on a GPU.
    """
    need, room = estimated_gigabytes(model, device=device, dtype=dtype), _room(device)
    if need is None or need <= room.gigabytes:
        return []
    kind = _dtype(dtype, room)
    return [f"memory: about {need:.0f} GB needed as {kind}, {room.gigabytes:.0f} GB {room.where}"]


def estimated_gigabytes(model: ModelSpec, *, device: str, dtype: str) -> float | None:
    """Memory that `model` takes, in GB; None where its size is not known. Arguments as of `memory_lacks`."""
    size = weight_bytes(model, BYTES[_dtype(dtype, _room(device))])
    return None if size is None else size * SPARE / 1e9


def fits_beside(model: ModelSpec, *, device: str, dtype: str) -> bool:
    """Whether `model` can be loaded beside what is open already: on a CPU where memory is free, on a GPU never."""
    import psutil

    need, room = estimated_gigabytes(model, device=device, dtype=dtype), _room(device)
    return not room.on_gpu and (need is None or need < psutil.virtual_memory().available / 1e9)


def _dtype(dtype: str, room: Room) -> str:
    return ("bfloat16" if room.on_gpu else "float32") if dtype == "auto" else dtype


def _room(device: str) -> Room:
    """Where `device` puts a model: all of it on one card, unless it says that it is to be spread."""
    import psutil

    cards = [] if device == "cpu" else _cards()
    if not cards:
        return Room(psutil.virtual_memory().total / 1e9, "of main memory here", on_gpu=False)
    if device in SPREAD:
        return Room(sum(cards), f"on {len(cards)} GPUs together", on_gpu=True)
    number = device.partition(":")[2]
    if number.isdecimal() and int(number) < len(cards):
        return Room(cards[int(number)], f"on GPU {number}, which has to hold it alone", on_gpu=True)
    if device in ("auto", "cuda"):
        return Room(cards[0], "on the first GPU, which has to hold it alone", on_gpu=True)
    return Room(max(cards), "on one GPU", on_gpu=True)


def _cards() -> list[float]:
    """Memory of each GPU in GB, in the driver's order; none where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    return [float(line) * 1024**2 / 1e9 for line in answer.stdout.split() if line.isdecimal()]
