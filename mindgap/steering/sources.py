"""Where a direction comes from: the half of a method that `Directed` puts together with what is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from mindgap.backends.base import Capability
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench

Layers = str | float | tuple[int, ...]
"""How YAML names blocks: `all`, `middle`, a relative depth (0.4), or a list of their numbers ([10, 11])."""


@dataclass(frozen=True)
class Placed:
    """A direction at a block.

    Attributes:
        layer: Index of the block.
        vector: float32 `[d_model]`, in units of the residual stream; how long it is says how strong it is natively.
        second: Unit vector `[d_model]` that spans a plane with it; None where the source knows none.
        reads: `[d_model]`, what is read where `rank_one` writes along the vector; None where the source knows none.
        offset: What is added to it there, in units of the residual stream.
        positions: Where it belongs, for a source that tells; None = where the method's settings say.
    """

    layer: int
    vector: np.ndarray = field(repr=False)
    second: np.ndarray | None = field(default=None, repr=False)
    reads: np.ndarray | None = field(default=None, repr=False)
    offset: float = 0.0
    positions: str | None = None


class Source(Protocol):
    """Settings, and one verb."""

    @property
    def needs(self) -> frozenset[Capability]:
        """What a backend must be capable of."""

    @property
    def pairs_texts(self) -> bool:
        """Whether directions are made of pairs, so that they can be shuffled."""

    def directions(
        self, queries: Sequence[Query], bench: SteeringBench, *, shuffled: bool = False
    ) -> list[tuple[Placed, ...] | Declined]:
        """What each query's direction is, at one block or several. Deterministic for a seed.

        Args:
            queries: The behaviours.
            bench: The model.
            shuffled: Swap positive and negative in a random half of the pairs: the null of what is made of pairs.
        """


def check_layers(layers: Layers, where: str = "method.interventions: layers") -> None:
    """Raises ConfigError for what names no blocks of any model."""
    if isinstance(layers, str):
        if layers not in ("all", "middle"):
            raise ConfigError(
                f"{where}={layers!r}, choose all, middle, a depth such as 0.4, or a list such as [10, 11]"
            )
    elif isinstance(layers, tuple):
        if not layers:
            raise ConfigError(f"{where}=[] names no block")
    elif not 0 < layers <= 1:
        raise ConfigError(f"{where}={layers:g}: a depth is above 0 and at most 1; block {layers:g} is [{layers:g}]")


def check_one_block(layers: Layers, where: str = "method.interventions: layers") -> None:
    """Raises ConfigError for what names several blocks, where one is trained."""
    check_layers(layers, where)
    if isinstance(layers, str) or (isinstance(layers, tuple) and len(layers) != 1):
        raise ConfigError(f"{where}={layers!r}: one block is trained, a depth such as 0.5 or [15]")


def blocks(layers: Layers, count: int) -> tuple[int, ...]:
    """Indices of the blocks that a setting names in a model of `count`; `middle` is the middle third.

    Negative numbers count from the end. Raises ConfigError for a block that the model does not have.
    """
    if layers == "all":
        return tuple(range(count))
    if layers == "middle":
        return tuple(range(count // 3, max(count // 3 + 1, 2 * count // 3)))
    if isinstance(layers, float):
        return (max(0, round(layers * count) - 1),)
    assert isinstance(layers, tuple)
    chosen = tuple(sorted({layer + count if layer < 0 else layer for layer in layers}))
    if not all(0 <= layer < count for layer in chosen):
        raise ConfigError(f"method.interventions: layers={list(layers)}: the model has blocks 0 to {count - 1}")
    return chosen


def random_directions(placed: Sequence[Placed], query: Query, seed: int) -> tuple[Placed, ...]:
    """Isotropic random directions in the places of others, and as long: the null of any direction.

    Where the same direction stands in several places, one random direction takes all of them.
    """
    drawn, numbers = [], dict[bytes, int]()
    for one in placed:
        number = numbers.setdefault(one.vector.tobytes(), len(numbers))
        digest = content_key("random direction", seed=seed, query=query.text, number=number)
        rows = np.random.default_rng(int(digest, 16) % 2**64).standard_normal((2, len(one.vector)))
        vector = rows[0] * (np.linalg.norm(one.vector) / np.linalg.norm(rows[0]))
        second = None if one.second is None else perpendicular(rows[1], vector)
        reads = None if one.reads is None else rows[1] * (np.linalg.norm(one.reads) / np.linalg.norm(rows[1]))
        drawn.append(replace(one, vector=vector.astype(np.float32), second=second, reads=reads))
    return tuple(drawn)


def perpendicular(vector: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The part of `vector` at right angles to another, as a unit vector, float32."""
    rest = vector - to * (vector @ to) / max(float(to @ to), 1e-24)
    return (rest / max(float(np.linalg.norm(rest)), 1e-12)).astype(np.float32)
