"""Cheap signs of collapse, from the reply's words alone: repetition, distinct pairs, length."""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record
from mindgap.measures.base import text_missing
from mindgap.text.words import distinct_2, pieces, repetition, word_count


@dataclass(frozen=True)
class Repetition:
    """Share of the reply that says again what it has said before; see `mindgap.text.words.repetition`."""

    name: str = "repetition"
    label: str = "Repetition"
    range: Range = (0, 1)
    better: Better = "lower"
    role: Role = "sign"
    prominence: Prominence = "shown"
    digits: int = 3

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        return text_missing(sample) or Value(repetition(pieces(sample.response)))


@dataclass(frozen=True)
class Distinct2:
    """Different pairs of neighbouring words over all such pairs (Li et al. 2016, arXiv 1510.03055)."""

    name: str = "distinct_2"
    label: str = "Distinct-2"
    range: Range = (0, 1)
    better: Better = "higher"
    role: Role = "sign"
    prominence: Prominence = "detail"
    digits: int = 3

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        return text_missing(sample) or Value(distinct_2(pieces(sample.response)))


@dataclass(frozen=True)
class Words:
    """Number of words, punctuation left out."""

    name: str = "words"
    label: str = "Words"
    range: Range = (0, None)
    better: Better = "neither"
    role: Role = "sign"
    prominence: Prominence = "detail"
    digits: int = 1

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        return text_missing(sample) or Value(float(word_count(sample.response)))
