"""Counts what a text shows without being understood: repetition, grammar's debris, register, layout.

Everything is a rate or a logarithm, so that a short reply and a long one can be compared, and markup tags count as
layout, not as words.
"""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from mindgap.text.words import LONGEST_WORD, repetition, words

TAG = re.compile(r"</?[A-Za-z][^<>]{0,30}>")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ARTICLES = _set("a an the my your our their his its every")
_PREPOSITIONS = _set("of from into with by at")
_JOINTS = _set("of and or is are was were")
_OTHERS = _set(
    "this that these those some any each no all both either what which who i me we us you he him she her it they them "
    "but nor so yet for if because while although than when where why how in on about against between through during "
    "before after to up down out over under again then there here am be been being have has had do does did will would "
    "shall should can could may might must not only same too very just also more most other such as"
)
_FUNCTION = _ARTICLES | _PREPOSITIONS | _JOINTS | _OTHERS
_FIRST = _set("i i'm i'll i've i'd me my mine we we're we'll our us let's")
_SECOND = _set("you you're you'll you've your yours yourself")
_FOREIGN = _set(
    "le les des du et est une dans pas sur avec que qui ne se ce il elle nous vous sont je mais ou où au aux "
    "el los las una en por para como pero más al su es lo un muy der das und ist nicht ein eine "
    "von mit auf für dem zu sich auch wir ich sie di che non sono della nel è os não em uma com dos het een "
    "niet"
)
"""Commonest words of French, Spanish, German, Italian, Portuguese and Dutch, those that English has too left out."""
_BROKEN = re.compile(r"\s[,.;:!?](?=\s|$)|[,;:]\s*[,.;:]|\b(\w+)\s+\1\b|\(\s*\)|-[:,]")
_ANSWERED = re.compile(r"<thinking>.*</thinking>\s*<answer>[^<]*</answer>\s*$", re.S)
_ANSWER = re.compile(r"<answer>|\b(?:answer|option)(?: is)?\W{1,4}\(?[A-J]\b", re.I)
_LIST_LINE = re.compile(r"\s*([-*•+]|\d+[.)])\s")

SMOOTHING = 10
"""Words added below the line of every rate: in a reply of five words, one word is no style."""
CHUNK, MOST_CHUNKS = 240, 8
"""Characters of a chunk, and chunks that are read: about 300 words."""


@dataclass(frozen=True)
class MannerWords:
    """A list of words whose share in a text is a feature.

    Attributes:
        name: Of the manner.
        asks: What a query says that wants it.
        words: The list.
    """

    name: str
    asks: str
    words: frozenset[str]


@cache
def manners() -> tuple[MannerWords, ...]:
    """The packaged lists, in the file's order."""
    from omegaconf import OmegaConf

    text = (resources.files("mindgap") / "data" / "proxy_lexicon.yaml").read_text(encoding="utf-8")
    return tuple(
        MannerWords(str(name), str(entry["asks"]), frozenset(str(entry["words"]).split()))
        for name, entry in OmegaConf.create(text).items()
    )


def without_markup(response: str) -> str:
    """The response without markup tags; what stands inside them stays."""
    return TAG.sub("\n", response).strip()


def sentences(text: str) -> list[str]:
    """Sentences and lines of `text`, spacing squeezed, none of them blank."""
    return [squeezed for part in _SENTENCE_END.split(text) if (squeezed := " ".join(part.split()))]


def chunks(text: str) -> list[str]:
    """The beginning of `text` in runs of whole sentences of at most `CHUNK` characters; longer sentences are cut."""
    filled = [""]
    for sentence in sentences(text):
        while sentence:
            cut = len(sentence) if len(sentence) <= CHUNK else max(sentence.rfind(" ", 1, CHUNK), 0) or CHUNK
            piece, sentence = sentence[:cut], sentence[cut:].lstrip()
            if filled[-1] and len(filled[-1]) + 1 + len(piece) > CHUNK:
                filled.append("")
            filled[-1] = f"{filled[-1]} {piece}".lstrip()
        if len(filled) > MOST_CHUNKS:
            break
    return [chunk for chunk in filled[:MOST_CHUNKS] if chunk]


def text_features(response: str) -> dict[str, float]:
    """Name and value of every feature, the same names for every text, finite for every text."""
    text = without_markup(response)
    tokens = [piece for word in words(text) for piece in ([word] if len(word) <= LONGEST_WORD else word)]
    spoken = [token for token in tokens if token[0].isalnum()]
    parts = sentences(text)
    lines = [line for line in text.split("\n") if line.strip()]
    return {
        **_repetition(text, tokens, spoken, parts),
        **_grammar(text, tokens, spoken, parts),
        **_register(text, spoken, parts),
        **_layout(response, text, lines, parts),
        **{f"manner:{manner.name}": math.sqrt(_rate(spoken, manner.words)) for manner in manners()},
    }


def _repetition(text: str, tokens: list[str], spoken: list[str], parts: list[str]) -> dict[str, float]:
    starts = [" ".join(part.lower().split()[:3]) for part in parts]
    said, tail = spoken[:-40], spoken[-40:]
    said_before = set(zip(said, said[1:], said[2:], strict=False))
    trigrams = list(zip(tail, tail[1:], tail[2:], strict=False))
    content = Counter(word for word in spoken if word not in _FUNCTION)
    windows = [spoken[start : start + 50] for start in range(0, max(1, len(spoken) - 25), 50)]
    again = [1 - len(set(window)) / len(window) if window else 0.0 for window in windows]
    beginning = text.encode()[:2000]
    return {
        "repetition": repetition(tokens),
        "repeated_pairs": _share_again(list(itertools.pairwise(tokens))[:300]),
        "repeated_words": sum(again) / len(again),
        "repeated_words_most": max(again),
        "repeated_starts": _share_again(starts),
        "repeated_sentences": _share_again([part.lower() for part in parts]),
        "repeated_at_end": sum(trigram in said_before for trigram in trigrams) / max(1, len(trigrams)),
        "commonest_word": max(content.values(), default=0) / (len(spoken) + 2 * SMOOTHING),
        "compressed": len(zlib.compress(beginning, 9)) / len(beginning) if beginning else 1.0,
    }


def _grammar(text: str, tokens: list[str], spoken: list[str], parts: list[str]) -> dict[str, float]:
    """Signs that words stand where they cannot: an article before "of", a preposition before a full stop."""
    openers = misplaced = 0
    for word, following in itertools.pairwise(tokens):
        if word in _ARTICLES or word in _PREPOSITIONS:
            openers += 1
            wrong = _FUNCTION if word in _ARTICLES else _JOINTS
            misplaced += following in wrong or following[0] in ".,;:!?"
    return {
        "misplaced": misplaced / (openers + 3),
        "function_words": sum(word in _FUNCTION for word in spoken) / (len(spoken) + SMOOTHING),
        "foreign_words": _rate(spoken, _FOREIGN),
        "broken_punctuation": len(_BROKEN.findall(text.lower())) / (len(spoken) + 2 * SMOOTHING),
        "lower_starts": sum(part[0].islower() for part in parts) / (len(parts) + 1),
        "unfinished": float(bool(text) and text[-1].isalnum()),
    }


def _register(text: str, spoken: list[str], parts: list[str]) -> dict[str, float]:
    lengths = [math.log1p(len(part.split())) for part in parts] or [0.0]
    mean = sum(lengths) / len(lengths)
    marks = len(parts) + 2
    return {
        "log_words": math.log(len(spoken) + SMOOTHING),
        "word_length": sum(map(len, spoken)) / (len(spoken) + 1),
        "long_words": sum(len(word) >= 9 for word in spoken) / (len(spoken) + SMOOTHING),
        "first_person": _rate(spoken, _FIRST),
        "second_person": _rate(spoken, _SECOND),
        "contractions": sum("'" in word or "’" in word for word in spoken) / (len(spoken) + SMOOTHING),
        "sentence_length": mean,
        "sentence_longest": max(lengths),
        "sentence_spread": math.sqrt(sum((length - mean) ** 2 for length in lengths) / len(lengths)),
        "exclamations": text.count("!") / marks,
        "questions": text.count("?") / marks,
        "ellipses": (text.count("...") + text.count("…")) / marks,
        "brackets": text.count("(") / marks,
        "quotes": (text.count('"') + text.count("“")) / marks,
        "commas": text.count(",") / (len(spoken) + SMOOTHING),
    }


def _layout(response: str, text: str, lines: list[str], parts: list[str]) -> dict[str, float]:
    length = len(text) + SMOOTHING
    tagged = bool(TAG.search(response))
    return {
        "digits": sum(character.isdigit() for character in text) / length,
        "capitals": sum(character.isupper() for character in text) / length,
        "symbols": len(re.findall(r"[^\w\s.,!?;:'\"()*#’“”-]", text)) / length,
        "not_ascii": sum(ord(character) > 127 for character in text) / length,
        "list_lines": sum(bool(_LIST_LINE.match(line)) for line in lines) / (len(lines) + 1),
        "short_lines": sum(len(line.split()) <= 3 for line in lines) / (len(lines) + 1),
        "emphasis": len(re.findall(r"\*\*|^#", text, re.M)) / (len(parts) + 2),
        "tags_broken": float(tagged and not _ANSWERED.search(response.strip())),
        "after_answer": float(bool(re.search(r"</answer>\s*\S", response))),
        "answers": float(bool(_ANSWER.search(response))),
    }


def _rate(spoken: Sequence[str], among: frozenset[str]) -> float:
    return sum(word in among for word in spoken) / (len(spoken) + SMOOTHING)


def _share_again(things: Sequence[object]) -> float:
    """Share of `things` that have occurred before."""
    return 1 - len(set(things)) / len(things) if things else 0.0
