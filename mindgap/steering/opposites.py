"""Opposites among ways to write: what cannot be shown together is not steered towards together.

Neither sentence embeddings nor a small model tell opposites from neighbours ("cheerful" is as near to "gloomy" as to
"merry"), so the opposites are a list, `data/opposites.txt`: two sides a line, words that mean the same on each.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

MOST_WORDS = 3
"""A longer wording is about something ("talk about the short history of tea"), so its words are no manner."""
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def opposite_words(behaviour: str, another: str) -> tuple[str, str] | None:
    """A word of each of two behaviours that the list has on opposite sides; None if there is no such pair."""
    words, others = _words(behaviour), _words(another)
    for sides in _opposites():
        for here, there in (sides, sides[::-1]):
            if (word := words & here) and (other := others & there):
                return min(word), min(other)
    return None


def _words(behaviour: str) -> set[str]:
    """The words that may name a manner, adverbs ("cheerfully") as the adjectives that they come from."""
    words = _WORD.findall(behaviour.casefold())
    if len(words) > MOST_WORDS:
        return set()
    return {form for word in words for form in (word, word.removesuffix("ly"), re.sub("ily$", "y", word))}


@cache
def _opposites() -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    lines = files("mindgap.data").joinpath("opposites.txt").read_text(encoding="utf-8").splitlines()
    sides = [[frozenset(word.strip() for word in side.split(",")) for side in line.split("|")] for line in lines]
    return tuple((one, other) for one, other in sides)
