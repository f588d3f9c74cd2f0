"""A text's words, and how often they repeat: no judge, no model, linear in the length of the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

REPEATED_NGRAM = 4
"""Words in a row that make a repetition. Shorter runs ("one of the") recur in any healthy text."""

LONGEST_WORD = 40
"""Characters. What is longer ("hahahaha…") is no word: its repetition is looked for among its characters."""

# Scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, CJK ideographs.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Accents and vowel signs that belong to the letter before them, and the Indic scripts, which are full of them.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff"
_LETTERS = rf"(?:[^\W{_UNSPACED}]|[{_MARKS}])+"
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTERS}(?:['\u2019\-]{_LETTERS})*|([^\w\s])\1{{0,2}}")


def words(text: str) -> list[str]:
    """The text's words in lower case; a punctuation mark (or up to three equal ones) is a word of its own.

    Scripts written without spaces count one word a character: word counts are then characters, while repetition and
    distinct-2 keep their meaning.
    """
    return list(_words(text))


@lru_cache(maxsize=2)
def _words(text: str) -> tuple[str, ...]:
    """See `words`. Several measures ask for those of one reply, one after another."""
    return tuple(map(itemgetter(0), _WORD.finditer(text.lower())))


def repetition(tokens: Sequence[str]) -> float:
    """Share of the text that says again what it has said before, in [0, 1]: 0 in a healthy text, towards 1 in a loop.

    It is the share of n-grams of words that have occurred earlier in the text, n = `REPEATED_NGRAM`; in a text
    shorter than two of those, n is half its length. That is 1 - distinct-n (Li et al. 2016, arXiv 1510.03055), also
    known as seq-rep-n (Welleck et al. 2019, arXiv 1908.04319). 0 for no or one word.
    """
    return _repeated_share(tokens, max(1, min(REPEATED_NGRAM, len(tokens) // 2)))


def distinct_2(tokens: Sequence[str]) -> float:
    """Number of different pairs of neighbouring words over the number of all such pairs, in [0, 1].

    1 where there is no pair, that is for no or one word: nothing is said twice.
    """
    return 1.0 - _repeated_share(tokens, 2)


def pieces(text: str) -> list[str]:
    """The text's words for `repetition` and `distinct_2`: longer than `LONGEST_WORD`, they are taken apart."""
    found = _words(text)
    if max(map(len, found), default=0) <= LONGEST_WORD:
        return list(found)
    return [piece for word in found for piece in ([word] if len(word) <= LONGEST_WORD else word)]


def word_count(text: str) -> int:
    """Number of words, punctuation left out."""
    return sum(word[0].isalnum() for word in _words(text))


def _repeated_share(tokens: Sequence[str], size: int) -> float:
    counts = Counter(zip(*(tokens[start:] for start in range(size)), strict=False))
    total = sum(counts.values())
    return 1.0 - len(counts) / total if total else 0.0
