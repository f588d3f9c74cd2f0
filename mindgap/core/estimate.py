"""An estimate and how sure we are of it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    value, low, high: None where they cannot be had; `note` then says why.
    n: samples that entered. missing: samples that should have and could not.
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
