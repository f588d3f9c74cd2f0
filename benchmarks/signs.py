"""Three signs of a behaviour in a reply that neither choosing edits nor judging looks at.

*embedding*: how much nearer the reply's sentence embedding is to passages in the manner than to plain ones (cosine).
*words*: typical words and marks per hundred words. *told*: log-likelihood (nats), by the unsteered model, that somebody
who has read the reply says that the writer was asked for this behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from mindgap.backends.base import Endpoint
from mindgap.backends.fetch import option_scores
from mindgap.core.records import Message, OptionsRequest
from mindgap.storage.store import Store
from mindgap.text.embedding import embedder
from mindgap.text.words import word_count

ASKED = "{reply}\n\nWhat was the writer of this text asked to do? Answer in a few words."
FEWEST_WORDS = 5
"""A reply of fewer words counts as one of so many: else one typical word would be a rate of 100."""


@dataclass(frozen=True)
class Behaviour:
    """A behaviour, five passages that show it, and the words that are typical of it."""

    query: str
    manner: tuple[str, ...]
    typical: re.Pattern[str]


@dataclass(frozen=True)
class Behaviours:
    """What `behaviours.yaml` says. others: further queries by kind, each kind with its own purpose."""

    plain: tuple[str, ...]
    known: tuple[Behaviour, ...]
    others: Mapping[str, Sequence[str] | Sequence[Sequence[str]]]


def read_behaviours(path: Path) -> Behaviours:
    """Read a file of behaviours."""
    file = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = tuple(
        Behaviour(query, tuple(signs["manner"]), _typical(signs.get("words", []), signs.get("pattern")))
        for query, signs in file["behaviours"].items()
    )
    return Behaviours(tuple(file["plain"]), known, file.get("others", {}))


def embedding_signs(replies: Sequence[str], behaviours: Behaviours) -> np.ndarray:
    """`[replies, behaviours]`: mean cosine with the passages in the manner, less that with the plain ones."""
    model = embedder()
    vectors = model.embed([reply or "." for reply in replies])
    plain = (vectors @ model.embed(behaviours.plain).T).mean(1)
    return np.stack([(vectors @ model.embed(one.manner).T).mean(1) - plain for one in behaviours.known], axis=1)


def word_signs(replies: Sequence[str], behaviours: Behaviours) -> np.ndarray:
    """`[replies, behaviours]`: typical words and marks per hundred words."""
    lengths = np.array([max(FEWEST_WORDS, word_count(reply)) for reply in replies])
    counts = np.array([[len(one.typical.findall(reply)) for one in behaviours.known] for reply in replies])
    rates: np.ndarray = 100 * counts / lengths[:, None]
    return rates


def told_signs(
    replies: Sequence[str], wanted: np.ndarray, behaviours: Behaviours, endpoint: Endpoint, store: Store
) -> np.ndarray:
    """`[replies, behaviours]`, NaN where not wanted: log-likelihood of the query, asked what the writer was to do.

    What the query's words are likely to be without any reply is the same for every reply, so it is not taken off:
    signs of one behaviour are only ever compared with each other.

    Args:
        replies: The texts.
        wanted: bool `[replies, behaviours]`: for which behaviours each text is scored; each costs time.
        behaviours: Whose queries.
        endpoint: The unsteered model.
        store: Where scores are kept.
    """
    requests = []
    for reply, row in zip(replies, wanted, strict=True):
        queries = tuple(behaviours.known[column].query for column in np.flatnonzero(row))
        requests.append(
            OptionsRequest(endpoint.identity, (Message("user", ASKED.replace("{reply}", reply)),), queries, ())
        )
    scores = option_scores(requests, endpoint, store)
    signs = np.full(wanted.shape, np.nan)
    for number, request in enumerate(requests):
        signs[number, wanted[number]] = scores[request.key].logprobs
    return signs


def _typical(words: Sequence[str], pattern: str | None) -> re.Pattern[str]:
    stems = [re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word) + "s?" for word in words]
    parts = [rf"\b(?:{'|'.join(stems)})\b"] if stems else []
    return re.compile("|".join([*parts, *([pattern] if pattern else [])]), re.IGNORECASE | re.MULTILINE)
