"""Refines a whole-number score by the probabilities that the judge gave each score's token.

As in G-Eval (Liu et al. 2023, arXiv 2303.16634, section 2), which weights each score by the probability of its token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mindgap.core.records import Score

WHOLE = frozenset("12345")
MOST_INSIDE = 1.05
"""Probabilities add up to no more than 1; servers round, each of up to 20."""


def expected(name: str, score: Score, tokens: Sequence[Mapping[str, Any]], most_outside: float) -> Score:
    """The expected score, in place of the whole number that was read from the same reply.

    With p(k) = the probability of all tokens that say k where the score stands: sum of k p(k) / sum of p(k), over 1 to
    5. Returned as it came: a score that is missing already, and one whose token is not among `tokens`.

    Args:
        name: The score's key in the reply.
        score: As read from the reply's text.
        tokens: Of the reply, as in `mindgap.providers.chat.Reply.logprobs`, with at least the five likeliest of each.
        most_outside: Where more of the probability than this is on anything but 1 to 5, the score is missing.
    """
    if score.value is None or (place := _place(name, int(score.value), tokens)) is None:
        return score
    chances = [0.0] * 5
    for alternative in tokens[place].get("top_logprobs") or [tokens[place]]:
        digit = str(alternative["token"]).strip(' \t\n":,}')
        if digit in WHOLE:
            chances[int(digit) - 1] += math.exp(alternative["logprob"])
    inside = sum(chances)
    if inside > MOST_INSIDE:
        return Score(None, f"the log-probabilities of {name} cannot be used: they add up to {inside:.3g}")
    if 1 - inside > most_outside:
        return Score(None, f"the judge was unsure of {name}: {1 - inside:.0%} of the probability is outside 1 to 5")
    mean = sum(k * chance for k, chance in enumerate(chances, 1)) / inside
    return Score(min(5.0, max(1.0, mean)))


def _place(name: str, value: int, tokens: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the token with the digit `value` of the key `name`; None if there is none.

    Quotation marks inside a JSON string are escaped, so no key that the analysis quotes is taken for the real one.
    """
    pieces = [bytes(token["bytes"]) if token.get("bytes") else str(token["token"]).encode() for token in tokens]
    spelling = name.replace("our", "ou?r").encode()
    matches = list(re.finditer(rb'(?<!\\)"' + spelling + rb'"\s*:\s*"?(%d)(?!\d)' % value, b"".join(pieces)))
    if not matches:
        return None
    left = matches[-1].start(1)
    for place, piece in enumerate(pieces):
        left -= len(piece)
        if left < 0:
            return place
    return None
