"""Steering vectors from a file, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.sources import Layers, Placed, blocks, check_layers
from mindgap.steering.vector_formats import VectorSet, read_vectors
from mindgap.storage.named import named_file

WHERE = "method.interventions"
NUMBERINGS = ("block", "hidden_states")


@dataclass(frozen=True)
class VectorFile:
    """The vectors in a file, the same for every query. `_target_: mindgap.steering.vector_source.VectorFile`.

    A vector is added as it stands in the file: its sign is the file's, its unit that of the residual stream.

    Attributes:
        path: `.safetensors`, `.npy`, `.npz`, `.pt` or `.gguf` (see `mindgap.steering.vector_formats`).
        layers: Which of its blocks; for a file of one vector, the blocks it is added at. None = all in the file.
        numbering: What number n in the file means: `block`, the output of block n (repeng, steering-vectors), or
            `hidden_states`, `hidden_states[n]` of transformers, the output of block n - 1 (persona vectors). An array
            of one row more than the model has blocks is always the latter.
    """

    path: str = ""
    layers: Layers | None = None
    numbering: str = "block"
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "residual"})
    pairs_texts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError(
                f"{WHERE}: path is empty; name a file of vectors, for example "
                "method.interventions.0.source.path=happy.gguf"
            )
        if self.layers is not None:
            check_layers(self.layers)
        if self.numbering not in NUMBERINGS:
            raise ConfigError(f"{WHERE}: numbering={self.numbering!r}, choose {' or '.join(NUMBERINGS)}")

    def directions(
        self, queries: Sequence[Query], bench: SteeringBench, *, shuffled: bool = False
    ) -> list[tuple[Placed, ...] | Declined]:
        """See `Source.directions`. Raises ConfigError for a file that does not fit the model."""
        path = named_file(self.path)
        found = self.by_layer(read_vectors(path), bench.layers)
        for layer, vector in found.items():
            if vector.shape != (bench.d_model,):
                raise ConfigError(
                    f"{WHERE}: {path} is for a model of width {vector.shape[-1]}, and this one's is {bench.d_model}"
                )
            if not 0 <= layer < bench.layers:
                raise ConfigError(f"{WHERE}: {path} names block {layer}; the model has blocks 0 to {bench.layers - 1}")
        return [tuple(Placed(layer, vector) for layer, vector in found.items())] * len(queries)

    def by_layer(self, found: VectorSet, count: int) -> Mapping[int, np.ndarray]:
        """The vectors that are wanted, by block of a model of `count` blocks. Raises ConfigError: see `directions`."""
        shift = 1 if self.numbering == "hidden_states" else 0
        if found.rows is None:
            by_layer = {layer - shift: vector for layer, vector in found.by_layer.items() if layer >= shift}
        elif len(found.rows) == 1:
            if self.layers is None:
                raise ConfigError(f"{WHERE}: {self.path} does not say which block its vector is for: set layers=[N]")
            return dict.fromkeys(blocks(self.layers, count), found.rows[0])
        else:
            shift = len(found.rows) - count if 0 <= len(found.rows) - count <= 1 and not shift else shift
            by_layer = {row - shift: vector for row, vector in enumerate(found.rows) if row >= shift}
            if len(by_layer) != count:
                raise ConfigError(f"{WHERE}: {self.path} has {len(found.rows)} rows, the model {count} blocks")
        if self.layers is None:
            return by_layer
        wanted = blocks(self.layers, count)
        if self.layers in ("all", "middle"):
            wanted = tuple(layer for layer in wanted if layer in by_layer)
        if missing := [layer for layer in wanted if layer not in by_layer]:
            raise ConfigError(f"{WHERE}: {self.path} has no vector for block {missing[0]}; it has {sorted(by_layer)}")
        return {layer: by_layer[layer] for layer in wanted}
