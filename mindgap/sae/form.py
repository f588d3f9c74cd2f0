"""Features of form: punctuation marks, line breaks and the small words that are in every text."""

from __future__ import annotations

import re

from mindgap.sae.words import COMMON, NAMES

ASKED_FOR = re.compile(
    r"\b(?:lists?|lines?|letters?|dialogues?|code|sentences?|questions?|bullets?|points?|paragraphs?|punctuation|poems?"
    r"|quot\w+|headlines?|numbers?|numbered|commas?|format\w*|brackets?|marks?|words?|tense|person|capitals?|emphasis)\b",
    re.IGNORECASE,
)
"""Words of a query that ask for form."""
_FORM = COMMON | frozenset(NAMES.values())


def is_form(label: str) -> bool:
    """Whether a feature, by its label, is active at nothing but marks and small words: "comma", "line break", "of"."""
    head = label.partition(" · ")[0]
    return bool(head) and all(part in _FORM for part in head.split(", "))


def asks_for_form(behaviour: str) -> bool:
    """Whether a behaviour is one of form, so that such features may serve it."""
    return ASKED_FOR.search(behaviour) is not None
