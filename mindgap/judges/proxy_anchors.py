"""Makes texts whose coherence needs no judge: ruined on purpose, so that a calibration knows collapse when it meets it.

Recorded responses seldom collapse, and never in all the ways in which a small steered model does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from mindgap.judges.proxy_text import without_markup

RUINED_WORDS = 60


@dataclass(frozen=True)
class Anchor:
    """A text whose coherence is given by definition.

    Attributes:
        text: The ruined text.
        coherence: Its score.
        source: Index of the response that it was made from.
    """

    text: str
    coherence: float
    source: int


def anchors(responses: Sequence[str], each: int, seed: int = 0) -> list[Anchor]:
    """Texts of every kind of ruin, made from responses: all score 1.

    Kinds: the words in random order; the first few words over and over; one word over and over; words of many responses
    at random.

    Args:
        responses: What they are made from.
        each: How many of every kind.
        seed: Of the draws.
    """
    rng = random.Random(seed)
    spoken = [without_markup(response).split()[:RUINED_WORDS] for response in responses]
    usable = [index for index, text in enumerate(spoken) if len(text) >= 12]
    vocabulary = [word for index in usable for word in spoken[index]]
    made = []
    for source in rng.sample(usable, min(each, len(usable))):
        text = spoken[source]
        few = text[: rng.randint(2, 10)]
        salad = rng.sample(vocabulary, rng.randint(15, RUINED_WORDS))
        texts = (
            rng.sample(text, len(text)),
            few * (rng.randint(20, 80) // len(few) + 2),
            [rng.choice(text)] * rng.randint(10, 60),
            salad,
        )
        made += [Anchor(" ".join(words), 1.0, source) for words in texts]
    return made
