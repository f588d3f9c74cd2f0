"""How many school years an English reply asks of its reader: the Flesch-Kincaid grade level."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record
from mindgap.measures.base import text_missing

_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|\n\s*\n")
_VOWELS = re.compile(r"[aeiouy]+")


@dataclass(frozen=True)
class Readability:
    """0.39 words per sentence + 11.8 syllables per word - 15.59 (Kincaid et al. 1975).

    Syllables are counted as groups of vowels, a final silent e left out.
    """

    name: str = "readability"
    label: str = "Reading grade (school years)"
    range: Range = (None, None)
    better: Better = "neither"
    role: Role = "sign"
    prominence: Prominence = "shown"
    digits: int = 1

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        if missing := text_missing(sample):
            return missing
        words = _WORD.findall(sample.response)
        if not words:
            return Value(None, "no English words")
        sentences = sum(bool(_WORD.search(part)) for part in _SENTENCE_END.split(sample.response))
        syllables = sum(_syllables(word.lower()) for word in words)
        return Value(0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59)


def _syllables(word: str) -> int:
    groups = len(_VOWELS.findall(word))
    if word.endswith("e") and not word.endswith("le") and groups > 1:
        groups -= 1
    return max(1, groups)
