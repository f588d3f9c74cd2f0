"""Edits of the residual stream: the concrete, backend-independent form of every intervention.

Three kinds: `AddVector` adds a vector, `FeatureEdit` changes the activation of one SAE feature, `DirectionEdit`
(`mindgap.core.directions`) does whatever else a direction tells. All take effect at the output of a block, and any
number of them can act on one request.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from mindgap.core.arrays import digest, frozen
from mindgap.core.directions import DirectionEdit

Positions = Literal["all", "response"]
"""`all` = every prompt and response token; `response` = every position that predicts a response token, that is from
the last prompt token on."""

UNKNOWN_LAYER = -1
"""The block of an edit by a remote backend that does not tell it."""

Operator = Literal["<", "<=", "==", "!=", ">=", ">"]


@dataclass(frozen=True, eq=False)
class AddVector:
    """Add `vector` to the residual stream at the output of block `layer`.

    Attributes:
        layer: Block index, 0 is the first block; its output is what block `layer + 1` reads.
        vector: float32, `[d_model]`, in the units of the residual stream; a copy that nobody can change.
        positions: At which tokens it is added.
        label: For people; not part of the key.
    """

    layer: int
    vector: np.ndarray = field(repr=False)
    positions: Positions = "all"
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", frozen(self.vector))

    @property
    def added(self) -> np.ndarray:
        """What is added to the residual stream: float32 `[d_model]`."""
        return self.vector

    @cached_property
    def norm(self) -> float:
        """Euclidean norm of the vector, in the units of the residual stream."""
        return float(np.linalg.norm(self.vector))

    @property
    def changes(self) -> bool:
        """Whether it can change anything."""
        return self.norm != 0

    @cached_property
    def key(self) -> str:
        """Its part of the request's content key."""
        return f"add:{self.layer}:{self.positions}:{digest(self.vector)}"

    def scaled(self, factor: float) -> AddVector:
        """The same direction, `factor` times as long."""
        return replace(self, vector=self.vector * np.float32(factor))

    def __str__(self) -> str:
        return f"{self.label} @ block {self.layer}, norm {self.norm:.4g}"


@dataclass(frozen=True)
class Comparison:
    """A condition on one feature: its activation at a token against `value` times `scale`.

    Attributes:
        feature: Index in the SAE.
        operator: How the activation is compared.
        value: In units of `scale`.
        scale: The feature's typical maximum activation.
    """

    feature: int
    operator: Operator
    value: float
    scale: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.bound):
            raise ValueError(f"feature {self.feature} is compared to what is not finite: {self.value=}, {self.scale=}")

    @property
    def bound(self) -> float:
        """What the activation is compared to, in units of activation."""
        return float(self.value * self.scale)


@dataclass(frozen=True)
class Condition:
    """At which tokens an edit acts, told by the activations of features in the unedited stream.

    Attributes:
        comparisons: At least one.
        join: Whether all (`and`) or any (`or`) of them must hold.
    """

    comparisons: tuple[Comparison, ...]
    join: Literal["and", "or"] = "and"

    def __post_init__(self) -> None:
        if not self.comparisons:
            raise ValueError("a condition compares at least one feature")

    @property
    def key(self) -> str:
        """Its part of the edit's key, the same for every order of the comparisons."""
        parts = sorted(
            f"{comparison.feature}{comparison.operator}{comparison.bound!r}" for comparison in self.comparisons
        )
        return f" {self.join} ".join(parts)


@dataclass(frozen=True, eq=False)
class FeatureEdit:
    """Change the activation of one SAE feature: with activation a, add `((gain - 1) a + offset scale) direction`.

    A *nudge* has gain 1: it adds `offset` times the feature's scale, whatever a is. A *pin* has gain 0: the activation
    becomes `offset` times the scale. An *ablation* has gain and offset 0. What the SAE does not explain of the residual
    stream (its reconstruction error) stays in every case. Several edits all read the unedited stream. Where a feature
    is silent, a pin adds all of its value: encoded anew, it may be less, by as much as it was below threshold.

    Attributes:
        sae: Identity of the SAE; a backend refuses edits of another one.
        layer: Index of the block whose output is edited; `UNKNOWN_LAYER` where a remote backend does not tell it.
        feature: Index in the SAE.
        scale: The feature's typical maximum activation, so that an offset means the same on each feature.
        direction: Decoder direction, float32 `[d_model]`, as the SAE has it (not normalised); None where a remote
            backend keeps it to itself.
        gain: Factor of the activation.
        offset: What is added to the activation, in units of `scale`.
        positions: At which tokens it acts.
        when: At which of these tokens; None = at all of them.
        label: What the feature is, for people; not part of the key.
        note: Why it was chosen, for people; not part of the key.
    """

    sae: str
    layer: int
    feature: int
    scale: float
    direction: np.ndarray | None = field(repr=False)
    gain: float = 1.0
    offset: float = 0.0
    positions: Positions = "all"
    when: Condition | None = None
    label: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite([self.scale, self.gain, self.offset]).all():
            raise ValueError(f"an edit of feature {self.feature} is not finite: {self.gain=}, {self.offset=}")
        if self.direction is not None:
            object.__setattr__(self, "direction", frozen(self.direction))

    @property
    def is_nudge(self) -> bool:
        """Whether it adds the same vector wherever it acts, however active the feature is there."""
        return self.gain == 1

    @cached_property
    def added(self) -> np.ndarray | None:
        """What is added where the feature is silent: float32 `[d_model]`; None where the direction is unknown."""
        return None if self.direction is None else np.float32(self.offset * self.scale) * self.direction

    @cached_property
    def norm(self) -> float | None:
        """Euclidean norm of `added`, in the units of the residual stream."""
        return None if self.added is None else float(np.linalg.norm(self.added))

    @property
    def changes(self) -> bool:
        """Whether it can change anything."""
        return self.gain != 1 or self.offset * self.scale != 0

    @cached_property
    def key(self) -> str:
        """Its part of the request's content key."""
        when = self.when.key if self.when else ""
        change = f"{float(self.gain)!r}:{float(self.offset * self.scale)!r}"
        return f"feature:{self.sae}:{self.layer}:{self.positions}:{self.feature}:{change}:{when}"

    def scaled(self, factor: float) -> FeatureEdit:
        """The change times `factor`: 0 changes nothing, whatever the kind of edit; 1 is the edit itself."""
        return replace(self, gain=1 + factor * (self.gain - 1), offset=factor * self.offset)

    def __str__(self) -> str:
        if self.is_nudge:
            what = f"{self.offset:+.3g}"
        elif self.gain == 0:
            what = f"= {self.offset:.3g}"
        else:
            what = f"× {self.gain:.3g} {self.offset:+.3g}"
        where = f" where {self.when.key}" if self.when else ""
        said = "; ".join(part for part in (self.label, self.note) if part)
        block = "" if self.layer == UNKNOWN_LAYER else f" @ block {self.layer}"
        return f"feature {self.feature} {what}{where}{block} ({said})"


Edit: TypeAlias = AddVector | FeatureEdit | DirectionEdit


@dataclass(frozen=True)
class Declined:
    """Stands where a query's edits would: the method can make none for it. reason: why, as a sentence for people."""

    reason: str
