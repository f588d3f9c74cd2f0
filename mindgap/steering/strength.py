"""Strength: how hard a method's edits are applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mindgap.errors import ConfigError
from mindgap.steering.edits import AddVector

Edits = tuple[AddVector, ...]
ResidualNorm = Callable[[int], float]
"""Median norm of the residual stream at the output of a block, by block index."""


class Strength(Protocol):
    """`conf/strength/*.yaml`."""

    @property
    def label(self) -> str:
        """For folders and tables, e.g. `dose0.3`."""

    def apply(self, edits: Edits, residual_norm: ResidualNorm) -> Edits:
        """The edits at this strength. An edit of strength 0 stays, as a zero vector: it is still an edit."""


@dataclass(frozen=True)
class Native:
    """Edits as the method makes them."""

    @property
    def label(self) -> str:
        return "native"

    def apply(self, edits: Edits, residual_norm: ResidualNorm) -> Edits:
        return edits


@dataclass(frozen=True)
class Scaled:
    """Every edit times `factor`; a negative factor steers the other way."""

    factor: float = 1.0

    def __post_init__(self) -> None:
        _finite("factor", self.factor)

    @property
    def label(self) -> str:
        return f"x{self.factor:g}"

    def apply(self, edits: Edits, residual_norm: ResidualNorm) -> Edits:
        return tuple(edit.scaled(self.factor) for edit in edits)


@dataclass(frozen=True)
class Dose:
    """All edits by one factor, such that the relative dose at the most steered layer is `dose`.

    A negative dose steers the other way.
    """

    dose: float = 0.2

    def __post_init__(self) -> None:
        _finite("dose", self.dose)

    @property
    def label(self) -> str:
        return f"dose{self.dose:g}"

    def apply(self, edits: Edits, residual_norm: ResidualNorm) -> Edits:
        native = relative_dose(edits, residual_norm)
        if native == 0:
            return edits
        return tuple(edit.scaled(self.dose / native) for edit in edits)


def relative_dose(edits: Sequence[AddVector], residual_norm: ResidualNorm) -> float:
    """Norm of what is added at a layer over the median norm of its residual stream; the largest over the layers.

    Dimensionless; 0 without edits.
    """
    added: dict[int, np.ndarray] = {}
    for edit in edits:
        added[edit.layer] = added.get(edit.layer, np.zeros_like(edit.vector)) + edit.vector
    return max((float(np.linalg.norm(total)) / residual_norm(layer) for layer, total in added.items()), default=0.0)


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ConfigError(f"strength.{name}={value}: must be a finite number")
