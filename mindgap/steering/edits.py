"""Edits of the residual stream: the concrete, backend-independent form of every intervention."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

Positions = Literal["all", "response"]


@dataclass(frozen=True, eq=False)
class AddVector:
    """Add `vector` to the residual stream at the output of block `layer`.

    vector: float32, `[d_model]`, in the units of the residual stream.
    layer: block index, 0 is the first block; its output is what block `layer + 1` reads.
    positions: `all` = every prompt and response token; `response` = every position that predicts a response
        token, that is from the last prompt token on.
    label: for people; not part of the key.
    """

    layer: int
    vector: np.ndarray
    positions: Positions = "all"
    label: str = ""

    def __post_init__(self) -> None:
        vector = np.array(self.vector, dtype=np.float32)  # a copy: nobody else can change it
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise ValueError(f"a steering vector is one-dimensional and finite; got shape {vector.shape}")
        vector.setflags(write=False)
        object.__setattr__(self, "vector", vector)

    @cached_property
    def norm(self) -> float:
        """Euclidean norm of the vector, in the units of the residual stream."""
        return float(np.linalg.norm(self.vector))

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256(self.vector.tobytes()).hexdigest()
        return f"add:{self.layer}:{self.positions}:{digest}"

    def scaled(self, factor: float) -> AddVector:
        return replace(self, vector=self.vector * np.float32(factor))
