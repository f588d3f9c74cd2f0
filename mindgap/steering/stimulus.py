"""Contrastive stimulus: replies that show a behaviour, and replies to the same prompts that nobody asked it of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mindgap.backends.fetch import completions
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding, Message, Request
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts


@dataclass(frozen=True)
class Stimulus:
    """One entry a prompt, in the prompts' order.

    Attributes:
        asked: Replies that show the behaviour, after the instruction that asked for it.
        behaving: The same replies after the prompt alone.
        neutral: Replies to the prompt alone. All of these are greedy, so that they differ in what was asked and in
            nothing else.
        sampled: Replies to the prompt alone at temperature 1: how much less likely steering makes them estimates the
            Kullback-Leibler divergence from the unsteered model.
    """

    asked: tuple[Text, ...]
    behaving: tuple[Text, ...]
    neutral: tuple[Text, ...]
    sampled: tuple[Text, ...]

    def parted(self, share: float) -> tuple[Stimulus, Stimulus]:
        """The first `share` of the prompts, and the rest; each part has two at least, for a spread needs two.

        Raises:
            ConfigError: Where fewer than four prompts were answered.
        """
        prompts = len(self.asked)
        if prompts < 4:
            raise ConfigError(
                f"Auto Steer needs replies to 4 contrast prompts at least, and {prompts} of them were answered with "
                "text both ways: set more of them (method.interventions.0.prompts), or another instruction"
            )
        first = min(max(2, round(share * prompts)), prompts - 2)
        return self._only(slice(0, first)), self._only(slice(first, None))

    def _only(self, which: slice) -> Stimulus:
        return Stimulus(self.asked[which], self.behaving[which], self.neutral[which], self.sampled[which])


def stimuli(
    bench: SteeringBench, behaviours: Sequence[str], *, prompts: int, instruction: str, writer: SteeringBench
) -> list[Stimulus]:
    """For each behaviour replies to the first `prompts` contrast prompts; a prompt with an empty reply is left out.

    Args:
        bench: The model that is to be steered; it writes the neutral replies.
        behaviours: What the replies are to show.
        prompts: How many contrast prompts.
        instruction: Asks for the behaviour, with `{query}` in it.
        writer: The bench on which the behaving replies are written: `bench` itself, or `hosted_writer`.

    Raises:
        ConfigError: Where nothing is left.
    """
    plain = [(Message("user", question),) for question in contrast_prompts(prompts)]
    asked = [
        [(Message("system", instruction.replace("{query}", behaviour)), *messages) for messages in plain]
        for behaviour in behaviours
    ]
    # In one batch: many short replies are read and written much faster together.
    every = iter(writer.respond([messages for one in asked for messages in one], CONTRAST_TOKENS))
    replies = [[next(every).text.strip() for _ in plain] for _ in behaviours]
    neutral = [reply.text.strip() for reply in bench.respond(plain, CONTRAST_TOKENS)]
    decoding = Decoding(max_tokens=CONTRAST_TOKENS, temperature=1, top_p=1)
    requests = [
        Request(bench.endpoint.identity, messages, decoding, int(content_key("neutral", n=n, seed=bench.seed)[:15], 16))
        for n, messages in enumerate(plain)
    ]
    drawn = completions(requests, bench.endpoint, bench.store)
    sampled = [drawn[request.key].text.strip() for request in requests]
    made = []
    for number, behaviour in enumerate(behaviours):
        behaving = replies[number]
        kept = [n for n in range(len(plain)) if behaving[n] and neutral[n] and sampled[n]]
        if not kept:
            raise ConfigError(f"nobody answered any contrast prompt for {behaviour!r}: Auto Steer has nothing to go by")
        made.append(
            Stimulus(
                tuple((asked[number][n], behaving[n]) for n in kept),
                tuple((plain[n], behaving[n]) for n in kept),
                tuple((plain[n], neutral[n]) for n in kept),
                tuple((plain[n], sampled[n]) for n in kept),
            )
        )
    return made


def hosted_writer(bench: SteeringBench, name: str, provider: LiteLLMBackend) -> SteeringBench:
    """A bench on which the litellm model `name` writes, with the store and seed of `bench`."""
    endpoint = provider.open(ModelSpec(name, litellm_id=name))
    return SteeringBench(endpoint, bench.store, bench.seed)  # type: ignore[arg-type]  # only generates
