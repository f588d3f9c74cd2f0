"""Paired replies: to the same prompts, with a behaviour asked for and without. They tell where a behaviour is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, Query
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.pairs import Contrasted, read_pairs, replies_to_the_same, swapped
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts
from mindgap.storage.named import named_file

INSTRUCTION = "You must {query}. Every sentence of your reply has to show it."
CHOOSING = slice(16, 24)
"""Contrast prompts that settings are chosen by: those before make vectors, those after measure damage."""


@dataclass(frozen=True)
class Stimulus:
    """One entry a prompt, in the prompts' order; all replies are greedy, so that they differ in what was asked alone.

    Attributes:
        asked: Replies that show the behaviour, after the instruction that asked for it.
        behaving: The same replies after the prompt alone.
        neutral: Replies to the prompt alone.
    """

    asked: tuple[Text, ...]
    behaving: tuple[Text, ...]
    neutral: tuple[Text, ...]


def stimulus(bench: SteeringBench, behaviour: str, *, prompts: int, writer: SteeringBench) -> Stimulus:
    """Replies to the first `prompts` contrast prompts; a prompt with an empty reply is left out.

    Args:
        bench: The model that is to be steered; it writes the neutral replies.
        behaviour: What the replies are to show.
        prompts: How many contrast prompts.
        writer: The bench on which the behaving replies are written: `bench` itself, or `hosted_writer`.

    Raises:
        ConfigError: Where nothing is left.
    """
    plain = [(Message("user", question),) for question in contrast_prompts(prompts)]
    asked = [(Message("system", INSTRUCTION.replace("{query}", behaviour)), *messages) for messages in plain]
    behaving = [reply.text.strip() for reply in writer.respond(asked, CONTRAST_TOKENS)]
    neutral = [reply.text.strip() for reply in bench.respond(plain, CONTRAST_TOKENS)]
    kept = [n for n in range(len(plain)) if behaving[n] and neutral[n]]
    if not kept:
        raise ConfigError(f"nobody answered any contrast prompt for {behaviour!r}: there is nothing to compare")
    return Stimulus(
        tuple((asked[n], behaving[n]) for n in kept),
        tuple((plain[n], behaving[n]) for n in kept),
        tuple((plain[n], neutral[n]) for n in kept),
    )


def replies_apart(query: Query, bench: SteeringBench) -> list[Contrasted]:
    """The model's replies to the contrast prompts kept for choosing, under the query and without.

    Raises:
        ConfigError: They are all alike.
    """
    plain = [(Message("user", prompt),) for prompt in contrast_prompts(10**6)[CHOOSING]]
    asked = [(Message("system", INSTRUCTION.replace("{query}", query.text)), *messages) for messages in plain]
    shown, neutral = bench.respond(asked, CONTRAST_TOKENS), bench.respond(plain, CONTRAST_TOKENS)
    found: list[Contrasted] = [
        (messages, yes.text.strip(), no.text.strip())
        for messages, yes, no in zip(plain, shown, neutral, strict=True)
        if yes.text.strip() and no.text.strip() and yes.text.strip() != no.text.strip()
    ]
    if not found:
        raise ConfigError(f"the model replies alike with and without {query.text!r}: there is nothing to choose by")
    return found


def replies_of(pairs: str | None, query: Query, bench: SteeringBench, prompts: int) -> tuple[list[Text], list[Text]]:
    """Replies that show a behaviour and replies that do not, to the same messages one by one.

    Args:
        pairs: A file of them; None = the model's own, under the query and without.
        query: The behaviour.
        bench: The model.
        prompts: How many where no file gives them.

    Raises:
        ConfigError: The file has fewer than two.
    """
    if pairs is None:
        shown = stimulus(bench, query.text, prompts=prompts, writer=bench)
        return list(shown.behaving), list(shown.neutral)
    found = [same for pair in read_pairs(named_file(pairs)) if (same := replies_to_the_same(pair))]
    if len(found) < 2:
        raise ConfigError(f'pairs={pairs}: give two replies to the same messages at least, beside a "prompt"')
    return [(messages, yes) for messages, yes, _ in found], [(messages, no) for messages, _, no in found]


def swapped_texts(
    positive: Sequence[Text], negative: Sequence[Text], seed: int, query: str
) -> tuple[list[Text], list[Text]]:
    """The same with a random half of the pairs swapped: the null of what is made of pairs."""
    both = list(zip(positive, negative, swapped(len(positive), seed, query), strict=True))
    return [no if turned else yes for yes, no, turned in both], [yes if turned else no for yes, no, turned in both]
