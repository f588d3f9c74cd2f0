"""A measure: how loud a reply is."""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.measurement import Better, Range, Value
from mindgap.core.records import Record
from mindgap.measures.base import text_missing


@dataclass(frozen=True)
class Exclamations:
    """Exclamation marks per sentence."""

    name: str = "exclamations"
    label: str = "Exclamation marks a sentence"
    range: Range = (0, None)
    better: Better = "neither"

    def value(self, sample: Record) -> Value | None:
        """A number, or missing with the reason; None would say that the measure does not apply."""
        if (gone := text_missing(sample)) is not None:
            return gone
        ends = sum(sample.response.count(mark) for mark in ".!?")
        if not ends:
            return Value(None, "the reply has no sentence")
        return Value(sample.response.count("!") / ends)
