"""Edits that a direction tells, beyond adding it everywhere: what is done along it, at which tokens, on what condition.

Like the edits of `mindgap.core.edits` they act at the output of a block, on the stream as it is before any edit of that
block, and share a batch with any others.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from mindgap.core.arrays import digest, frozen

Operation = Literal["add", "add_constant_norm", "ablate", "clamp", "rotate", "rank_one"]
"""`add`: x + v. `add_constant_norm`: x + v, then as long as x was. `ablate`: x less its part along v. `clamp`: the
projection on v brought between two bounds. `rotate`: x's part in a plane turned to an angle, as long as it was.
`rank_one`: along v is added what another direction reads in x, plus an offset: x + (r·x + b) u."""

WINDOW = re.compile(r"all|response|prompt|last:[1-9]\d*|from:\d+|at:\d+")
WINDOWS = "all, response, prompt, last:K, from:N or at:N"
NEVER = 2**40
"""Further than any token."""


@dataclass(frozen=True)
class Window:
    """At which tokens an edit acts: within both ranges, ends included.

    Attributes:
        first: Of the text, counted from 0.
        last: Likewise.
        begin: Relative to the last prompt token, which is 0: the first position that predicts a response token.
        end: Likewise.
    """

    first: int = 0
    last: int = NEVER
    begin: int = -NEVER
    end: int = NEVER


def window(positions: str) -> Window:
    """What a setting means.

    `all`; `response`, every position that predicts a response token, from the last prompt token on; `prompt`, every
    prompt token, the last included; `last:K`, the last K prompt tokens; `from:N`, token N of the text and all after it,
    the first being 0; `at:N`, that one alone. Raises ValueError for any other.
    """
    if not WINDOW.fullmatch(positions):
        raise ValueError(f"positions={positions!r}, choose {WINDOWS}")
    kind, _, number = positions.partition(":")
    n = int(number or 0)
    return {
        "all": Window(),
        "response": Window(begin=0),
        "prompt": Window(end=0),
        "last": Window(begin=1 - n, end=0),
        "from": Window(first=n),
        "at": Window(first=n, last=n),
    }[kind]


@dataclass(frozen=True, eq=False)
class Gate:
    """A condition on the prompt, decided once for a row before anything is steered, and kept for its whole reply.

    Lee et al. (2024, arXiv 2409.05907), without the tanh of their program: the condition holds where the cosine between
    the stream and its projection on a direction, that is the absolute cosine of the two, is above a threshold.

    Attributes:
        layer: Index of the block at whose output the unsteered stream is read.
        vector: Direction, float32 `[d_model]`, of any length.
        threshold: What the similarity has to pass.
        above: Whether it has to be above it, or else below.
        signed: Compare the cosine itself rather than its absolute value.
        read: `mean` over the prompt's tokens, or `last`, its last token.
    """

    layer: int
    vector: np.ndarray = field(repr=False)
    threshold: float
    above: bool = True
    signed: bool = False
    read: Literal["mean", "last"] = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", frozen(self.vector))
        if not -1 <= self.threshold <= 1:
            raise ValueError(f"a cosine is compared to {self.threshold}, which is outside -1 to 1")

    @cached_property
    def key(self) -> str:
        """Its part of the edit's key."""
        how = f"{'>' if self.above else '<'}{float(self.threshold)!r}:{'cos' if self.signed else 'abs'}:{self.read}"
        return f"{self.layer}:{digest(self.vector)}{how}"

    def holds(self, stream: np.ndarray) -> bool:
        """Whether it holds for a prompt whose stream, read as `read` says, is `[d_model]`."""
        lengths = max(float(np.linalg.norm(stream) * np.linalg.norm(self.vector)), 1e-12)
        cosine = float(stream @ self.vector) / lengths
        similarity = cosine if self.signed else abs(cosine)
        return similarity > self.threshold if self.above else similarity < self.threshold


@dataclass(frozen=True, eq=False)
class DirectionEdit:
    """Change the residual stream along a direction, at the output of block `layer`.

    Attributes:
        layer: Index of the block.
        vector: float32 `[d_model]`. Of `add` and `add_constant_norm` its length counts, of the others its direction.
        operation: What is done; see `Operation`.
        share: How much of it: a factor of the vector for both kinds of `add`, else the share of the way from the
            unedited stream to the edited one (of a rotation, of the angle). 0 changes nothing.
        low: Of `clamp`: least projection, in units of the residual stream.
        high: Likewise: greatest.
        second: Of `rotate`: unit vector `[d_model]` at right angles, which spans the plane with `vector`. Of
            `rank_one`: what is read, r, of any length.
        degrees: Of `rotate`: the angle from `vector` towards `second` at which the part in the plane shall lie.
        offset: Of `rank_one`: b, in units of the residual stream.
        positions: At which tokens: see `window`.
        half_life: Tokens of the reply after which the share has halved; None = it stays.
        gate: On which prompts; None = on all.
        typical: How long what is added typically is, at share 1, in units of the residual stream; None where the vector
            tells. Not part of the key.
        label: For people; not part of the key.
    """

    layer: int
    vector: np.ndarray = field(repr=False)
    operation: Operation = "add"
    share: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    second: np.ndarray | None = field(default=None, repr=False)
    degrees: float = 0.0
    offset: float = 0.0
    positions: str = "all"
    half_life: float | None = None
    gate: Gate | None = None
    typical: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", frozen(self.vector))
        if self.operation not in get_args(Operation):
            raise ValueError(f"operation={self.operation!r}, choose {', '.join(get_args(Operation))}")
        if (self.operation in ("rotate", "rank_one")) != (self.second is not None):
            raise ValueError("rotate and rank_one, and nothing else, need a second direction")
        if self.second is not None:
            object.__setattr__(self, "second", frozen(self.second))
        if not np.isfinite([self.share, self.degrees, self.offset]).all() or not self.low <= self.high:
            raise ValueError(f"an edit is not finite or has no room: {self.share=}, {self.low=}, {self.high=}")
        if self.half_life is not None and not self.half_life > 0:
            raise ValueError(f"half_life={self.half_life}: must be above 0 tokens")
        if self.operation not in ("add", "add_constant_norm") and not np.linalg.norm(self.vector):
            raise ValueError(f"{self.operation} along a vector of length 0: it has no direction")
        window(self.positions)

    @property
    def changes(self) -> bool:
        """Whether it can change anything."""
        return self.share != 0

    @cached_property
    def unit(self) -> np.ndarray:
        """The direction, float32 `[d_model]`; zeros for a vector of length 0."""
        return (self.vector / max(float(np.linalg.norm(self.vector)), 1e-30)).astype(np.float32)

    @cached_property
    def added(self) -> np.ndarray:
        """What is added where it acts, before it fades, as float32 `[d_model]`: its length is what the dose counts.

        Of what depends on the token it is the typical change; where that was not measured, 0.
        """
        if self.typical is not None:
            return np.float32(self.share * self.typical) * self.unit
        if self.operation in ("add", "add_constant_norm"):
            return np.float32(self.share) * self.vector
        return np.zeros_like(self.vector)

    @cached_property
    def norm(self) -> float:
        """Euclidean norm of `added`, in the units of the residual stream."""
        return float(np.linalg.norm(self.added))

    @cached_property
    def key(self) -> str:
        """Its part of the request's content key."""
        vector = digest(self.vector if self.operation in ("add", "add_constant_norm") else self.unit)
        parts = [self.operation, self.layer, self.positions, vector, repr(float(self.share))]
        if self.operation == "clamp":
            parts += [repr(float(self.low)), repr(float(self.high))]
        if self.second is not None:
            parts += [digest(self.second), repr(float(self.degrees if self.operation == "rotate" else self.offset))]
        parts += [f"half:{float(self.half_life)!r}"] if self.half_life is not None else []
        parts += [f"gate:{self.gate.key}"] if self.gate is not None else []
        return "direction:" + ":".join(map(str, parts))

    def scaled(self, factor: float) -> DirectionEdit:
        """The same with `factor` times the share."""
        return replace(self, share=self.share * factor)

    def __str__(self) -> str:
        limits = f" to {self.low:.3g} … {self.high:.3g}" if self.operation == "clamp" else ""
        angle = f" to {self.degrees:.3g}°" if self.operation == "rotate" else ""
        when = (
            f", where the prompt's similarity is {'above' if self.gate.above else 'below'} {self.gate.threshold:.3g}"
            if self.gate
            else ""
        )
        fading = f", halved every {self.half_life:g} tokens" if self.half_life else ""
        what = f"{self.operation}{limits}{angle} × {self.share:.3g} at {self.positions}{fading}{when}"
        return f"{self.label}: {what} @ block {self.layer}, typically {self.norm:.4g}"
