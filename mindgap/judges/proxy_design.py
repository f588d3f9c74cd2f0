"""Describes responses in numbers for the proxy judge: their text, their meaning, and how they answer the query's wish.

Without the embedding model the meaning is left out and queries are told apart by their words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindgap.core.records import JudgeRequest
from mindgap.judges.proxy_text import chunks, manners, text_features, without_markup
from mindgap.text.embedding import Embedder

MEANING = ("to_question", "to_question_least", "to_question_last", "neighbours", "neighbours_least", "concentration")
WISH_BY_WORDS = ("manner_asked_for",)
WISH = (*WISH_BY_WORDS, "to_query", "to_query_most", "to_query_beyond_question", "to_best_over_worst_level")
TEMPERATURE = 0.1
"""Of the softmax over cosine similarities that spreads an unknown query over the known ones."""
USUAL_NEIGHBOURS = 0.45
"""Cosine similarity of neighbouring chunks in ordinary prose: stands in where a response is one chunk long."""
_PLAIN_WORDS = frozenset(("be", "a", "an", "and", "the", "more", "very", "like", "with", "of", "in", "to"))
_LEVEL = re.compile(r"\b([15]) = ([^.]*)")


@dataclass(frozen=True)
class Described:
    """Responses in numbers, before anything is fitted.

    Attributes:
        names: Of the features.
        values: Of the features, `[n, features]`.
        meaning: Unit vectors `[n, 384]`, or `[n, 0]` without embeddings.
        wish: How the response answers what the query asks for, `[n, wishes]`.
        wanted: How much the query wants each manner, `[n, manners]`: weights that sum to 1, or 0 where nothing is
            known.
    """

    names: tuple[str, ...]
    values: np.ndarray
    meaning: np.ndarray
    wish: np.ndarray
    wanted: np.ndarray


def describe_responses(requests: Sequence[JudgeRequest], embedder: Embedder | None) -> Described:
    """Describe responses. `manner_asked_for` is left 0: it needs the standardised manners.

    Args:
        requests: None of them with an empty response.
        embedder: Makes vectors of texts; None = without meaning.
    """
    rows = [text_features(request.response) for request in requests]
    names = tuple(rows[0])
    values = np.array([list(row.values()) for row in rows])
    wanted = closeness([request.query for request in requests], [manner.asks for manner in manners()], embedder)
    if embedder is None:
        return Described(names, values, np.zeros((len(rows), 0)), np.zeros((len(rows), 1)), wanted)
    vectors = _Vectors(embedder, [text for request in requests for text in _texts(request)])
    meanings = [_meaning(request, vectors) for request in requests]
    return Described(
        (*names, *MEANING),
        np.hstack([values, np.array([meaning for meaning, _, _ in meanings])]),
        np.array([direction for _, _, direction in meanings]),
        np.array([[0.0, *wish] for _, wish, _ in meanings]),
        wanted,
    )


def closeness(queries: Sequence[str], known: Sequence[str], embedder: Embedder | None) -> np.ndarray:
    """How much of each query is each of some known texts.

    An equal text is all of it. Else it goes by the meaning of the texts, or without embeddings by the words they share.

    Args:
        queries: The queries.
        known: The texts.
        embedder: Makes vectors of texts; None = by words.

    Returns:
        `[queries, known]`; rows sum to 1, or to 0.
    """
    distinct = list(dict.fromkeys(queries))
    equal = np.array([[float(normal(query) == normal(text)) for text in known] for query in distinct])
    if embedder is None:
        words = [_content(text) for text in known]
        shares = np.array([[float(len(_content(query) & known_words)) for known_words in words] for query in distinct])
    else:
        vectors = embedder.embed([*distinct, *known])
        similar = vectors[: len(distinct)] @ vectors[len(distinct) :].T / TEMPERATURE
        shares = np.exp(similar - similar.max(1, keepdims=True))
    shares = np.where(equal.any(1, keepdims=True), equal, shares)
    total = shares.sum(1, keepdims=True)
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    place = {query: index for index, query in enumerate(distinct)}
    rows: np.ndarray = shares[[place[query] for query in queries]]
    return rows


def normal(query: str) -> str:
    """`query` as it is compared with others."""
    return " ".join(query.casefold().split()).rstrip(".")


def _content(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold())) - _PLAIN_WORDS


class _Vectors:
    """The embedding of each distinct text."""

    def __init__(self, embedder: Embedder, texts: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(texts))
        self._vectors = embedder.embed(distinct)
        self._place = {text: index for index, text in enumerate(distinct)}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        rows: np.ndarray = self._vectors[[self._place[text] for text in texts]]
        return rows


def _pieces(request: JudgeRequest) -> list[str]:
    return chunks(without_markup(request.response)) or [request.response]


def _levels(request: JudgeRequest) -> list[str]:
    """What the rubric says of its lowest and its highest score; () if it does not say both."""
    said = dict(_LEVEL.findall(request.rubric))
    return [" ".join(said[level].split()) for level in "15"] if len(said) == 2 else []


def _question(request: JudgeRequest) -> str:
    return " ".join(request.question.split())[:1000]


def _texts(request: JudgeRequest) -> list[str]:
    return [*_pieces(request), _question(request), request.query, *_levels(request)]


def _meaning(request: JudgeRequest, vectors: _Vectors) -> tuple[list[float], list[float], np.ndarray]:
    """Values of `MEANING`, of `WISH` but for the first, and the mean direction of the response's chunks."""
    pieces, levels = vectors(_pieces(request)), vectors(_levels(request)) if _levels(request) else None
    question, query = vectors([_question(request), request.query])
    length = float(np.linalg.norm(pieces.mean(0)))
    mean = pieces.mean(0) / max(length, 1e-9)
    to_question, to_query = pieces @ question, pieces @ query
    neighbours = (pieces[1:] * pieces[:-1]).sum(1) if len(pieces) > 1 else np.array([USUAL_NEIGHBOURS])
    meaning = [to_question.mean(), to_question.min(), to_question[-1], neighbours.mean(), neighbours.min(), length]
    wish = [
        to_query.mean(),
        to_query.max(),
        float((mean - question) @ query),
        float(mean @ (levels[1] - levels[0])) if levels is not None else 0.0,
    ]
    return [float(value) for value in meaning], [float(value) for value in wish], mean
