"""Which features are near a text in meaning: by sentence embeddings where they are installed, else by words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import lru_cache

import numpy as np

from mindgap.sae.catalogue import Catalogue
from mindgap.sae.labels import NO_PATTERN
from mindgap.sae.words import COMMON, stem
from mindgap.text.embedding import embedder, embedder_lacks

SATURATION, LENGTH = 1.2, 0.6
"""k1 and b of BM25 (Robertson & Zaragoza 2009)."""
LABEL_WEIGHT = 2
"""A word of the label counts as often as this; one of the evidence once."""
NEARLY = 0.5
"""Weight of a word that only begins like the word looked for, by `PREFIX` letters at least."""
PREFIX = 4


def search(catalogue: Catalogue, text: str, count: int) -> list[tuple[int, float]]:
    """The `count` live features nearest to `text`, with their relevance, best first."""
    scores = relevance(catalogue, text)
    best = np.argsort(-scores, kind="stable")[:count]
    return [(int(index), float(scores[index])) for index in best if catalogue.live[index] and scores[index] > 0]


@lru_cache(maxsize=64)
def relevance(catalogue: Catalogue, text: str) -> np.ndarray:
    """How near each feature is to `text` in meaning: float32 `[features]` in [-1, 1], not to be written to.

    -1 where it was never active, 0 where nothing is known of what it means.

    Cosine similarity of sentence embeddings where the embedding model is installed; else BM25 over the words of labels
    and evidence as a share of the largest possible score, which is never below 0.
    """
    scores = by_words(catalogue, text) if embedder_lacks() else embedded(catalogue) @ embedder().embed([text])[0]
    known = np.array([label != NO_PATTERN for label in catalogue.labels])
    near = np.where(catalogue.live, np.where(known, scores.clip(-1, 1), 0), -1).astype(np.float32)
    near.flags.writeable = False  # every cell of a sweep asks again, and gets the same array
    return near


def documents(catalogue: Catalogue) -> list[str]:
    """What stands for each feature: its label, and the words that are typical of it."""
    words = catalogue.table["words"].to_pylist()
    return [
        f"{label.replace(' · ', '. ').replace('→ ', '')}. {', '.join(evidence)}"
        for label, evidence in zip(catalogue.labels, words, strict=True)
    ]


@lru_cache(maxsize=2)
def embedded(catalogue: Catalogue) -> np.ndarray:
    """Embeddings of `documents`, float32 `[features, width]`: from the catalogue, else made once and kept on disk."""
    from mindgap.storage.atomic import replacing
    from mindgap.storage.cache import cache_folder

    model = embedder()
    if (kept := catalogue.embeddings(model.identity)) is not None:
        return kept
    path = cache_folder() / "labels" / f"{catalogue.identity[:24]}-{model.identity.rpartition('@')[2]}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, model.embed(documents(catalogue)).astype(np.float16))
    return np.load(path).astype(np.float32)


def by_words(catalogue: Catalogue, text: str) -> np.ndarray:
    """BM25 of every feature's words against those of `text`, as a share of a perfect match's: float32 `[features]`."""
    index = _index(catalogue)
    scores = np.zeros(catalogue.features, dtype=np.float32)
    wanted = list(dict.fromkeys(_terms(text)))
    most = 0.0
    for term in wanted:
        alike = dict.fromkeys(index.beginning(term), NEARLY) | {term: 1.0}
        own = np.zeros_like(scores)
        for other, weight in alike.items():
            if other in index.rows:
                np.maximum.at(own, index.rows[other], weight * index.weights[other])
        most += index.rarest * (SATURATION + 1)
        scores += own
    return scores / max(most, 1e-9)


class _Index:
    """rows, weights: features that have a word, and its BM25 weight in each. rarest: weight of a word that one has."""

    def __init__(self, texts: list[Counter[str]]) -> None:
        lengths = np.array([sum(words.values()) for words in texts], dtype=np.float32)
        mean = max(float(lengths.mean()), 1e-9)
        places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, words in enumerate(texts):
            for word, count in words.items():
                places[word].append((row, count))
        self.rarest = float(np.log(1 + len(texts) / 1.5))
        self.rows: dict[str, np.ndarray] = {}
        self.weights: dict[str, np.ndarray] = {}
        self._beginnings: dict[str, list[str]] = defaultdict(list)
        for word, counted in places.items():
            rows, counts = np.array(counted).T
            rarity = np.log(1 + (len(texts) - len(rows) + 0.5) / (len(rows) + 0.5))
            length = 1 - LENGTH + LENGTH * lengths[rows] / mean
            self.rows[word] = rows
            self.weights[word] = (rarity * counts * (SATURATION + 1) / (counts + SATURATION * length)).astype(
                np.float32
            )
            if len(word) >= PREFIX:
                self._beginnings[word[:PREFIX]].append(word)

    def beginning(self, term: str) -> list[str]:
        """Words of which `term` is the beginning, or that are the beginning of it; short ones have none."""
        near = self._beginnings.get(term[:PREFIX], [])
        return [word for word in near if word.startswith(term) or term.startswith(word)]


@lru_cache(maxsize=2)
def _index(catalogue: Catalogue) -> _Index:
    words = catalogue.table["words"].to_pylist()
    texts = []
    for label, evidence in zip(catalogue.labels, words, strict=True):
        terms = Counter(_terms(" ".join(evidence)))
        for term in _terms(label.replace("when asked to", "")):
            terms[term] += LABEL_WEIGHT
        texts.append(terms)
    return _Index(texts)


def _terms(text: str) -> list[str]:
    return [stem(word) for word in re.findall(r"\w+", text.lower()) if word not in COMMON]
