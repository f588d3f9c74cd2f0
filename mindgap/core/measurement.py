"""What is measured on samples: a value or the reason why there is none, and what a measure declares of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Range = tuple[float | None, float | None]
"""Lowest and highest value there can be; None where there is no end."""
Better = Literal["higher", "lower", "neither"]
Role = Literal["behaviour", "cost", "sign"]
Prominence = Literal["primary", "shown", "detail"]


@dataclass(frozen=True, slots=True)  # a sweep has tens of millions
class Value:
    """A finite number, or missing with the reason. There is no default and no third case.

    Attributes:
        value: The number; None where it is missing.
        missing: Why there is none; None where there is one.
    """

    value: float | None
    missing: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.missing is None):
            raise ValueError("a measure gives either a value or the reason why it is missing")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(
                f"{self.value} is not a finite number; what cannot be measured is missing, with the reason"
            )


@dataclass(frozen=True)
class Declaration:
    """All that statistics, tables, figures and files have to know of a measure.

    Attributes:
        name: Column of samples.parquet and name of the metric; letters, digits and underscores.
        label: Title for people.
        range: Lowest and highest value, None where there is no end. Bounds the intervals.
        better: Which way is good: "higher", "lower" or "neither".
        role: "behaviour" is what steering is for, "cost" what it may cost, "sign" anything else worth a look.
        prominence: "primary" measures are what a sweep asks about (their tests are corrected together and the headline
            speaks of them), "shown" ones stand in tables and figures, "detail" ones in files only.
        binary: Whether every value is 0 or 1: the mean is then a rate.
        digits: Decimals that people are shown.
    """

    name: str
    label: str
    range: Range = (None, None)
    better: Better = "neither"
    role: Role = "sign"
    prominence: Prominence = "shown"
    binary: bool = False
    digits: int = 2
