"""Pairs of texts that differ in a behaviour: read from a file of the user's, or made for a behaviour."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Message
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts
from mindgap.storage.json_lines import BadLineError, json_lines

CAA = ("question", "answer_matching_behavior", "answer_not_matching_behavior")
"""Keys of the A/B questions of Rimsky et al. (github.com/nrimsky/CAA)."""
ROLES = ("system", "user", "assistant")
ACCEPTED = (
    'give lines {"positive": …, "negative": …}, with a "prompt" if those are replies, or the A/B questions of CAA: '
    + ", ".join(CAA)
)


Contrasted = tuple[tuple[Message, ...], str, str]
"""Messages, a reply that shows a behaviour, and one that does not."""


@dataclass(frozen=True)
class Pair:
    """Two texts: with messages and a reply, or as they stand."""

    positive: Text | str
    negative: Text | str


def read_pairs(path: Path, strings: str = "prompt") -> list[Pair]:
    """The pairs in a file of JSON lines, or of one JSON list.

    `positive` and `negative` are texts, or conversations: lists of `{"role": …, "content": …}`, whose last turn is the
    reply if it is the assistant's. With a `prompt`, a text is the reply to it. Of an A/B question the reply is its
    answer up to the letter, `(A`, so that what is read last is the letter.

    Args:
        path: The file.
        strings: What a text without `prompt` is: `prompt`, what the user says, or `text`, read as it stands.

    Raises:
        ConfigError: There is no such file, or a line is no pair; it says which.
    """
    if not path.is_file():
        raise ConfigError(f"pairs={path}: there is no such file")
    content = path.read_text(encoding="utf-8")
    try:
        listed = content.lstrip().startswith("[")
        entries = list(enumerate(json.loads(content), 1)) if listed else list(json_lines(content))
    except json.JSONDecodeError as error:
        raise ConfigError(f"pairs={path}, line {error.lineno}: {error.msg}; {ACCEPTED}") from error
    except BadLineError as error:
        raise ConfigError(f"pairs={path}, line {error.number}: {error}; {ACCEPTED}") from error
    pairs = [_pair(entry, strings, f"pairs={path}, entry {number}") for number, entry in entries]
    if len(pairs) < 2:
        raise ConfigError(f"pairs={path} holds {len(pairs)} pairs; two at least are needed")
    return pairs


def _pair(entry: Any, strings: str, where: str) -> Pair:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where}: {ACCEPTED}")
    if all(isinstance(entry.get(key), str) for key in CAA):
        asked = (Message("user", entry[CAA[0]]),)
        return Pair(*((asked, entry[key].strip().rstrip(")")) for key in CAA[1:]))
    if "positive" not in entry or "negative" not in entry:
        raise ConfigError(f"{where} has the keys {', '.join(map(str, entry))}; {ACCEPTED}")
    prompt = entry.get("prompt")
    return Pair(*(_text(entry[key], prompt, strings, f"{where}, {key}") for key in ("positive", "negative")))


def _text(value: Any, prompt: Any, strings: str, where: str) -> Text | str:
    if isinstance(value, str) and value.strip():
        if prompt is not None:
            return _conversation(prompt, where)[0], value
        return value if strings == "text" else ((Message("user", value),), "")
    if prompt is not None:
        raise ConfigError(f"{where}: beside a prompt stands a text, its reply")
    return _conversation(value, where)


def _conversation(value: Any, where: str) -> Text:
    if isinstance(value, str) and value.strip():
        return (Message("user", value),), ""
    turns = value if isinstance(value, Sequence) and not isinstance(value, str) else []
    if not turns or not all(isinstance(t, Mapping) and t.get("role") in ROLES and t.get("content") for t in turns):
        raise ConfigError(f'{where}: give a text, or a list of {{"role": …, "content": …}}')
    messages = tuple(Message(turn["role"], str(turn["content"])) for turn in turns)
    return (messages[:-1], messages[-1].content) if messages[-1].role == "assistant" else (messages, "")


def told_apart(bench: SteeringBench, query: str, count: int, positive: str, negative: str) -> list[Pair]:
    """The same openings of replies, once after an instruction to behave so and once after one not to.

    As in repeng's examples, so that nothing but what was asked tells the two apart. Openings are those of the
    unsteered model's replies to contrast prompts, of 1 to 8 words.

    Args:
        bench: The model.
        query: The behaviour, for `{query}` in both instructions.
        count: Pairs; prompts that nobody answers are left out.
        positive: Asks for the behaviour.
        negative: Asks for its absence.
    """
    prompts = contrast_prompts(count)
    replies = bench.respond([(Message("user", prompt),) for prompt in prompts], CONTRAST_TOKENS)
    pairs = []
    for number, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        if words := reply.text.split():
            opening = " ".join(words[: 1 + number % 8])
            asked = [
                (Message("system", text.replace("{query}", query)), Message("user", prompt))
                for text in (positive, negative)
            ]
            pairs.append(Pair((asked[0], opening), (asked[1], opening)))
    if len(pairs) < 2:
        raise ConfigError(f"the model answers too few contrast prompts to make pairs for {query!r}")
    return pairs


def replies_to_the_same(pair: Pair) -> Contrasted | None:
    """A pair as two replies to one conversation; None where it is none."""
    if isinstance(pair.positive, str) or isinstance(pair.negative, str):
        return None
    (messages, yes), (others, no) = pair.positive, pair.negative
    return (messages, yes, no) if messages == others and yes and no else None


def used(count: int, share: float) -> int:
    """How many of `count` pairs, from the first, a vector is made of when a share is held out: two at least."""
    return max(2, count - round(count * share)) if share else count


def swapped(count: int, seed: int, query: str) -> np.ndarray:
    """Which half of `count` pairs is swapped in the null of shuffled pairs: bool `[count]`, fixed by seed and query."""
    digest = content_key("shuffled pairs", seed=seed, query=query, count=count)
    order = np.random.default_rng(int(digest, 16) % 2**64).permutation(count)
    return order < count // 2
