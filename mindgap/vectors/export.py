"""Writes the vectors that a method adds for a behaviour, with a receipt of what they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import mindgap
from mindgap.core.arrays import digest
from mindgap.core.edits import AddVector, Declined, Edit
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.damage import at_strength
from mindgap.steering.vector_formats import WRITERS, write_vectors
from mindgap.steering.vectors import reference_norm
from mindgap.storage.hashes import file_hash
from mindgap.storage.named import named_file
from mindgap.vectors.bench import opened, settings_of

UNIT = "residual stream at the output of a block; +1 times a vector moves towards the behaviour"


def exported(path: Path, query: str, config: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
    """Make the vectors and write them; returns the receipt.

    Raises:
        ConfigError: The file's ending is no format, or the method does more than add vectors.
        UnavailableError: The model cannot be opened here.
    """
    if path.suffix not in WRITERS:
        raise ConfigError(f"{path}: choose one of the endings {', '.join(WRITERS)}")
    settings = settings_of(config)
    with opened(settings, settings.method.needs, seed) as bench:
        norm = lru_cache(lambda layer: reference_norm(bench, layer))
        made = settings.method.edits([Query(query, "")], bench)
        (edits,) = at_strength(settings.strength, made, bench, norm)
        if isinstance(edits, Declined):
            raise ConfigError(edits.reason)
        vectors = vectors_of(edits, settings.method.name)
        receipt = _receipt(vectors, query, config, bench, norm)
    write_vectors(path, vectors, receipt)
    return receipt


def vectors_of(edits: Sequence[Edit], method: str) -> dict[int, np.ndarray]:
    """The vectors that edits add, by block. Raises ConfigError where they do more than add vectors at all tokens."""
    vectors: dict[int, np.ndarray] = {}
    for edit in edits:
        if not isinstance(edit, AddVector):
            raise ConfigError(
                f"method={method} does more than add vectors, and a file of vectors cannot say what ({edit}). "
                "Export a method with operation=add, at positions all or response"
            )
        vectors[edit.layer] = vectors[edit.layer] + edit.vector if edit.layer in vectors else edit.vector
    return vectors


def _receipt(
    vectors: Mapping[int, np.ndarray], query: str, config: Mapping[str, Any], bench: SteeringBench, norm: Any
) -> dict[str, Any]:
    method = dict(config["method"])
    return {
        "made_by": f"mindgap {mindgap.__version__}",
        "model": bench.endpoint.identity,
        "query": query,
        "method": method,
        "strength": config["strength"],
        "seed": bench.seed,
        "data": {name: file_hash(path) for name, path in sorted(_files(method))},
        "unit": UNIT,
        "layers": [
            {
                "block": layer,
                "norm": float(np.linalg.norm(vector)),
                "dose": float(np.linalg.norm(vector)) / norm(layer),
                "sha256": digest(vector),
            }
            for layer, vector in sorted(vectors.items())
        ],
    }


def _files(node: Any) -> list[tuple[str, Path]]:
    """Files that the settings of a method name."""
    if isinstance(node, Mapping):
        found = [entry for value in node.values() for entry in _files(value)]
        named = [node[key] for key in ("pairs", "path") if isinstance(node.get(key), str)]
        return found + [(name, named_file(name)) for name in named if named_file(name).is_file()]
    return [entry for value in node for entry in _files(value)] if isinstance(node, list) else []
