"""How often a reply uses words of a list."""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.errors import ConfigError
from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record
from mindgap.measures.base import text_missing
from mindgap.text.words import words as words_of


@dataclass(frozen=True)
class WordList:
    """Listed words per 100 words of the reply; 0 for a reply without words.

    Attributes:
        name: Column of samples.parquet and name of the metric.
        words: Words or phrases; capitals make no difference, and a phrase counts once.
        label: Title for people.
        better: Which way is good.
        role: What it stands for; see `Declaration`.
        prominence: Where it is shown; see `Declaration`.
    """

    name: str
    words: tuple[str, ...]
    label: str = ""
    better: Better = "neither"
    role: Role = "sign"
    prominence: Prominence = "shown"

    range: Range = (0, 100)

    def __post_init__(self) -> None:
        if not self.words or not all(words_of(phrase) for phrase in self.words):
            raise ConfigError(
                f"measures.{self.name}.words={list(self.words)}: give words, for example [maybe, perhaps]"
            )

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        if missing := text_missing(sample):
            return missing
        spoken = words_of(sample.response)
        listed = {tuple(words_of(phrase)) for phrase in self.words}
        hits = sum(
            tuple(spoken[place : place + len(phrase)]) == phrase for phrase in listed for place in range(len(spoken))
        )
        count = sum(word[0].isalnum() for word in spoken)
        return Value(min(100.0, 100 * hits / count) if count else 0.0)
