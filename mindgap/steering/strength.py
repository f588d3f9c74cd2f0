"""Strength: how hard a method's edits are applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mindgap.core.edits import Edit, FeatureEdit
from mindgap.core.errors import ConfigError

Edits = tuple[Edit, ...]
ResidualNorm = Callable[[int], float]
"""Median norm of the residual stream at the output of a block, by block index."""


class Strength(Protocol):
    """`conf/strength/*.yaml`."""

    @property
    def label(self) -> str:
        """For folders and tables, e.g. `dose0.3`."""

    def apply(self, edits: Edits, residual_norm: ResidualNorm) -> Edits:
        """The edits at this strength. An edit of strength 0 stays, as one that changes nothing."""


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
    """What every edit does, times `factor`: 0 is no steering, a negative factor steers the other way.

    Half an ablation leaves half the activation, half a pin goes half the way to its value.
    """

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

    A negative dose steers the other way. The dose is that of `relative_dose`; `apply` raises ConfigError where that is
    unknown, or where no factor reaches it because all that is done is to ablate.
    """

    dose: float = 0.2

    def __post_init__(self) -> None:
        _finite("dose", self.dose)

    @property
    def label(self) -> str:
        return f"dose{self.dose:g}"

    def apply(self, edits: Edits, residual_norm: ResidualNorm) -> Edits:
        native = relative_dose(edits, residual_norm)
        if self.dose == 0:
            return tuple(edit.scaled(0) for edit in edits)
        if native is None:
            raise ConfigError(
                "strength=dose: the backend does not tell the directions of the features that this method edits, so "
                "their dose is unknown. Use strength=native or strength=scaled"
            )
        if native == 0:
            if any(isinstance(edit, FeatureEdit) and not edit.is_nudge for edit in edits):
                raise ConfigError(
                    "strength=dose: these edits only take away what features add, so no factor gives them a dose. "
                    "Use strength=native or strength=scaled"
                )
            return edits
        return tuple(edit.scaled(self.dose / native) for edit in edits)


def relative_dose(edits: Sequence[Edit], residual_norm: ResidualNorm) -> float | None:
    """Norm of what is added at a layer over the median norm of its residual stream; the largest over the layers.

    What a pin or an ablation of a feature adds depends on the token; it is counted as if the feature were silent there,
    so an ablation counts nothing and a pin its full value. What a direction edit adds that depends on the token counts
    as it was measured when it was made (`DirectionEdit.typical`). A condition is counted as if it held, and what fades
    before it does. Edits of single tokens (`at:N`) meet only at the same token.

    Dimensionless; 0 without edits; None where the direction of an edited feature is unknown.
    """
    added: dict[int, dict[str, np.ndarray]] = {}  # by block; by token where it is a single one, else under ""
    for edit in edits:
        if edit.added is None:
            return None
        token = edit.positions if edit.positions.startswith("at:") else ""
        here = added.setdefault(edit.layer, {"": np.zeros_like(edit.added)})
        here[token] = here[token] + edit.added if token in here else edit.added
    most = {
        layer: max(float(np.linalg.norm(here[""] + (total if token else 0))) for token, total in here.items())
        for layer, here in added.items()
    }
    return max((norm / residual_norm(layer) for layer, norm in most.items()), default=0.0)


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ConfigError(f"strength.{name}={value}: must be a finite number")
