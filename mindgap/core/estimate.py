"""An estimate: a value, its interval, and how many samples it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        value: The mean; None where there is none, and `note` says why.
        low: Lower end of the interval; None where none can be had.
        high: Upper end of the interval; None where none can be had.
        n: Samples that entered.
        missing: Samples that should have entered and could not.
        note: What a reader must know of the value or the interval; empty as a rule.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: int = 0
    note: str = ""


def finite(value: float | None) -> float | None:
    """`value`, or None where it is NaN or infinite: JSON and CSV have no agreed way to write those."""
    return float(value) if value is not None and math.isfinite(value) else None
