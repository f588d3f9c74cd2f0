"""Accuracy by the answer that the task reads from a reply: over all replies, over answered ones, and how many answer.

A reply that settles on no option is not correct, and it is counted apart: lost knowledge and a lost format are two
things.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record


@dataclass(frozen=True)
class Accuracy:
    """Whether the reply gives the right answer; one that cannot be read does not."""

    name: str = "accuracy"
    label: str = "Accuracy, all"
    range: Range = (0, 1)
    better: Better = "higher"
    role: Role = "cost"
    prominence: Prominence = "primary"
    binary: bool = True
    digits: int = 3

    def value(self, sample: Record) -> Value | None:
        """See `Measure.value`."""
        if not was_asked(sample):
            return None
        return Value(None, sample.error) if sample.error else Value(float(bool(sample.correct)))


@dataclass(frozen=True)
class AccuracyAnswered:
    """Whether the answer is right, of replies that give one."""

    name: str = "accuracy_answered"
    label: str = "Accuracy, answered"
    range: Range = (0, 1)
    better: Better = "higher"
    role: Role = "cost"
    prominence: Prominence = "detail"
    binary: bool = True
    digits: int = 3

    def value(self, sample: Record) -> Value | None:
        """See `Measure.value`."""
        if sample.correct is None or sample.answer is None:
            return None
        return Value(float(sample.correct))


@dataclass(frozen=True)
class Answered:
    """Whether the reply settles on an answer that can be read."""

    name: str = "answered"
    label: str = "Answered share"
    range: Range = (0, 1)
    better: Better = "higher"
    role: Role = "sign"
    prominence: Prominence = "shown"
    binary: bool = True
    digits: int = 3

    def value(self, sample: Record) -> Value | None:
        """See `Measure.value`."""
        if not was_asked(sample):
            return None
        return Value(None, sample.error) if sample.error else Value(float(sample.answer is not None))


def was_asked(sample: Record) -> bool:
    """Whether the reply had to settle on an answer; of a failed request only the gold answer is known."""
    return sample.correct is not None or (sample.gold is not None and sample.error is not None)
