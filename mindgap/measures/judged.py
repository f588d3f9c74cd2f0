"""Behaviour and coherence: what the sweep's judge says of a reply, from 1 to 5."""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record

SCALE: Range = (1, 5)
"""Of the judges' scores."""


@dataclass(frozen=True)
class Behaviour:
    """How far the reply shows the behaviour that was asked for."""

    name: str = "behaviour"
    label: str = "Behaviour (1-5)"
    range: Range = SCALE
    better: Better = "higher"
    role: Role = "behaviour"
    prominence: Prominence = "primary"

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        return Value(sample.behaviour, sample.behaviour_missing)


@dataclass(frozen=True)
class Coherence:
    """How well the reply reads, whatever it shows."""

    name: str = "coherence"
    label: str = "Coherence (1-5)"
    range: Range = SCALE
    better: Better = "higher"
    role: Role = "cost"
    prominence: Prominence = "primary"

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        return Value(sample.coherence, sample.coherence_missing)
