"""A catalogue of a few features written by hand, for tests of what is done with one."""

from __future__ import annotations

from typing import Any

from mindgap.sae.catalogue import STEPS, Catalogue, build

JOKES = ("That is a funny joke , he laughed", "a funny joke about a clown", "She told a funny joke to us")
BOATS = (
    "the old boat sailed the sea and sank",
    "we took a boat across the sea today",
    "a boat with a sail on the sea there",
)
FIGURES = ("there were 12 of them", "about 7 people came", "in 1999 it was new")
LISTS = ("apples , pears and plums", "red , green and blue", "first , we went home")


def context(text: str, word: str, activation: float = 4.0) -> dict[str, Any]:
    """Words as pieces, the feature active at `word` alone."""
    words = text.split()
    at = words.index(word)
    return {
        "pieces": [words[0], *(f" {word}" for word in words[1:])],
        "at": at,
        "activation": activation,
        "activations": [STEPS * (place == at) for place in range(len(words))],
    }


def feature(contexts: list[dict[str, Any]], **known: Any) -> dict[str, Any]:
    plain = {"density": 0.01, "scale": 4.0, "promoted": [], "demoted": [], "promotion": 9.0, "manners": []}
    return {**plain, "contexts": contexts, **known}


def small_catalogue(sae: str = "small@0") -> Catalogue:
    """Features: 0 funny, 1 boat, 2 figures, 3 commas, 4 never active. Without labels."""
    funny = {"manner": "be funny", "lift": 3.0, "z": 9.0}
    rows = [
        feature([context(text, "funny") for text in JOKES], promoted=[" haha", " laugh", "ing"], manners=[funny]),
        feature([context(text, "boat") for text in BOATS], promoted=[" ship"], density=0.002, scale=9.0),
        feature([context(text, word) for text, word in zip(FIGURES, ("12", "7", "1999"), strict=True)], density=0.03),
        feature([context(text, ",") for text in LISTS], density=0.2, demoted=["\n"]),
        feature([], density=0.0, scale=0.0),
    ]
    return build(rows, sae=sae, texts=12, tokens=80)
