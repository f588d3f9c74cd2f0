"""Vectors that stand in frozen dataclasses: copies that nobody can change, and their hashes."""

from __future__ import annotations

import hashlib

import numpy as np


def frozen(vector: np.ndarray) -> np.ndarray:
    """A read-only float32 copy of a vector `[n]`. Raises ValueError for what has another shape or is not finite."""
    vector = np.array(vector, dtype=np.float32)  # a copy: nobody else can change it
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError(f"a steering vector is one-dimensional and finite; got shape {vector.shape}")
    vector.setflags(write=False)
    return vector


def digest(vector: np.ndarray) -> str:
    """Hex SHA-256 of its numbers."""
    return hashlib.sha256(vector.tobytes()).hexdigest()
