"""Paired replies: to the same prompts, with a behaviour asked for and without. They tell where a behaviour is shown."""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.errors import ConfigError
from mindgap.core.records import Message
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts

INSTRUCTION = "You must {query}. Every sentence of your reply has to show it."


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
