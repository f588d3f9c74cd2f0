"""What safetensors files hold, told by their headers: no weight is read, and nothing heavy is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

LONGEST_HEADER = 100_000_000
"""Bytes; the format allows no more."""


class DamagedError(ValueError):
    """A file is not what safetensors writes. The message says how."""


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file.

    Attributes:
        dtype: As safetensors calls it: F32, BF16, U8 …
        shape: Its sizes.
        size: In bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def tensors_in(file: Path) -> Mapping[str, Tensor]:
    """The tensors in a safetensors file by name.

    The file is eight bytes with the header's length, the header in JSON, and the data that the header divides up
    (https://github.com/huggingface/safetensors#format).

    Raises:
        DamagedError: The header makes no sense, or the file is shorter than the header says.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            raise DamagedError(f"{file.name} is damaged: it has no header of safetensors")
        raw = stream.read(length)
    try:
        entries = json.loads(raw)
        entries.pop("__metadata__", None)
        tensors = {name: _tensor(entry) for name, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(f"{file.name} is damaged: its header cannot be read") from error
    if size < 8 + length + end:
        raise DamagedError(f"{file.name} is cut off: {size} bytes are there of {8 + length + end}")
    return tensors


def _tensor(entry: Mapping[str, object]) -> Tensor:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(offsets, list):
        raise TypeError("shape and data_offsets are lists")
    begin, end = offsets
    return Tensor(str(dtype), tuple(map(int, shape)), int(end) - int(begin))
