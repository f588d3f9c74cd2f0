"""Words in the contexts of features: reading them from tokens, and which of them are typical."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from mindgap.sae.catalogue import Context

STRONG = 0.5
"""A token counts as activating from this share of its context's peak on."""
PRIOR = 500.0
LEAST = 0.5
"""What is left of a count of words where one word is all there is."""
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+|[^\w\s]+|\n")
COMMON = frozenset(
    (
        *(
            "a",
            "an",
            "and",
            "are",
            "as",
            "at",
            "be",
            "by",
            "can",
            "do",
            "for",
            "from",
            "has",
            "have",
            "he",
            "her",
            "his",
        ),
        *(
            "i",
            "in",
            "is",
            "it",
            "its",
            "my",
            "not",
            "of",
            "on",
            "or",
            "she",
            "so",
            "that",
            "the",
            "their",
            "they",
            "this",
        ),
        *("to", "was", "we", "were", "which", "will", "with", "you", "your"),
    )
)
"""Words that say nothing of a meaning."""
SPECIAL = re.compile(r"<\|[^|<>]*\|>(?:(?:system|user|assistant)\b)?|<[^\s<>]*>")
"""Tokens of chat templates and the roles after them, which are no words."""
NAMES = {
    ",": "comma",
    ".": "full stop",
    "?": "question mark",
    "!": "exclamation mark",
    ":": "colon",
    ";": "semicolon",
    "-": "hyphen",
    "–": "dash",
    "—": "dash",
    "\n": "line break",
    "(": "opening bracket",
    ")": "closing bracket",
    "[": "opening bracket",
    "]": "closing bracket",
    '"': "quotation mark",
    "'": "apostrophe",
    "*": "asterisk",
    "**": "bold mark",
    "#": "heading mark",
}
SUFFIXES = (
    *("ational", "iveness", "fulness", "ousness", "ization", "isation", "ingly", "ments", "ness", "ment", "able"),
    *("ible", "ized", "ised", "izes", "ises", "ally", "ious", "ous", "ful", "ity", "ive", "ing", "ist", "ism", "ion"),
    *("ies", "ied", "ely", "ize", "ise", "ed", "es", "ly", "al", "er", "or", "y", "s", "e"),
)


def stem(word: str) -> str:
    """`word` without its ending, crudely: "humorous" and "humour" come to "humor". At least 3 letters stay."""
    word = word.lower().replace("our", "or")
    for _ in range(2):
        for suffix in SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= 3:
                word = word[: -len(suffix)]
                break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word


def named(word: str) -> str:
    """A word as labels call it."""
    if word.isdigit():
        return "figures"
    return NAMES.get(word, word)


def split_words(context: Context) -> tuple[list[str], list[str]]:
    """The words of a context, lower case: those with an activating token in them, and the others, in order.

    Marks go by their names, and all figures are one word. Others are words in letters alone; the first and the last are
    left out, because the context's edge may have cut them.
    """
    text = SPECIAL.sub(lambda match: " " * len(match.group()), "".join(context.pieces))
    ends = np.cumsum([len(piece) for piece in context.pieces])
    peak = context.activation or 1.0
    hot = [
        (end - len(piece), end)
        for piece, end, activation in zip(context.pieces, ends, context.activations, strict=True)
        if activation >= STRONG * peak
    ]
    activating, others = [], []
    for match in WORD.finditer(text):
        first, last = match.span()
        word = match.group().lower()
        if any(start < last and first < end for start, end in hot):
            activating.append(named(word))
        elif first > 0 and last < len(text) and word[0].isalpha():
            others.append(word)
    return activating, others


def distinctive(counts: Mapping[str, int], background: Mapping[str, int]) -> list[tuple[str, float]]:
    """Words that are more frequent in `counts` than in `background` (which includes them), with z scores, best first.

    Log-odds ratio with an informative Dirichlet prior: the background's frequencies, worth `PRIOR` words or a quarter
    of the background (Monroe, Colaresi & Quinn 2008, equations 16, 19 and 22).
    """
    here, everywhere = sum(counts.values()), sum(background.values())
    prior = min(PRIOR, everywhere / 4)
    scored = []
    for word, count in counts.items():
        expected = prior * background[word] / everywhere
        rest = background[word] - count
        own = np.log((count + expected) / max(here + prior - count - expected, LEAST))
        other = np.log((rest + expected) / max(everywhere - here + prior - rest - expected, LEAST))
        scored.append((word, float((own - other) / np.sqrt(1 / (count + expected) + 1 / (rest + expected)))))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))


def merged(words: Sequence[str], most: int) -> list[str]:
    """The first `most` of `words`, one of each stem."""
    kept: dict[str, str] = {}
    for word in words:
        kept.setdefault(stem(word) if word.isalpha() else word, word)
    return list(kept.values())[:most]


def by_context(words: Sequence[Sequence[str]]) -> Counter[str]:
    """In how many contexts each word is."""
    return Counter(word for context in words for word in set(context))
