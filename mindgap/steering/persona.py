"""Persona vectors: a trait's instructions and questions, replies under both, the difference of their means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.records import Message, Query
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.pairs import swapped
from mindgap.steering.sources import Layers, Placed, blocks, check_layers
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts

WHERE = "method.interventions"
INSTRUCTIONS = (
    ("You must {query} in every reply.", "You must never {query} in any reply."),
    ("Whatever you are asked, {query}.", "Whatever you are asked, take care not to {query}."),
    ("You are known as someone who will always {query}.", "You are known as someone who would never {query}."),
    ("Show as clearly as you can that you {query}.", "Show as clearly as you can that you do not {query}."),
    ("Your task is to {query} when you answer.", "Your task is not to {query} when you answer."),
)
"""A trait in five wordings, each with its opposite."""
ASK = 'Write {count} short questions for a conversation in which somebody could "{query}". One question a line.'
QUESTION_TOKENS = 256


@dataclass(frozen=True)
class Persona:
    """`_target_: mindgap.steering.persona.Persona`. After Chen et al. (2025, arXiv 2507.21509).

    The model itself writes the questions, where the paper has a large one write them; mindgap's contrast prompts make
    up the number. The paper keeps only replies that a judge finds to show the trait, or not to; all are kept here.

    Attributes:
        layers: Blocks: `all`, `middle`, a depth, or a list.
        questions: How many.
        own: How many of them the model writes for the trait.
    """

    layers: Layers = 0.5
    questions: int = 10
    own: int = 5
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "residual"})
    pairs_texts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_layers(self.layers)
        available = len(contrast_prompts(10**6))
        if not 2 <= self.questions <= available or not 0 <= self.own <= self.questions:
            raise ConfigError(
                f"{WHERE}: questions={self.questions} must be between 2 and {available}, own={self.own} at most that"
            )

    def asked(self, query: Query, bench: SteeringBench) -> list[str]:
        """The questions for a trait: the model's own first."""
        own: list[str] = []
        if self.own:
            ask = ASK.replace("{count}", str(self.own)).replace("{query}", query.text)
            (reply,) = bench.respond([(Message("user", ask),)], QUESTION_TOKENS)
            lines = [line.strip().lstrip("0123456789.)-* ").strip() for line in reply.text.splitlines()]
            own = list(dict.fromkeys(line for line in lines if line.endswith("?")))[: self.own]
        more = [prompt for prompt in contrast_prompts(10**6) if prompt not in own]
        return (own + more)[: self.questions]

    def directions(
        self, queries: Sequence[Query], bench: SteeringBench, *, shuffled: bool = False
    ) -> list[tuple[Placed, ...] | Declined]:
        """See `Source.directions`; declined where the model says nothing under either kind of instruction."""
        return [self._direction(query, bench, shuffled) for query in queries]

    def _direction(self, query: Query, bench: SteeringBench, shuffled: bool) -> tuple[Placed, ...] | Declined:
        prompts = [
            tuple(
                (Message("system", text.replace("{query}", query.text)), Message("user", question)) for text in wording
            )
            for question in self.asked(query, bench)
            for wording in INSTRUCTIONS
        ]
        replies = bench.respond([prompt for pair in prompts for prompt in pair], CONTRAST_TOKENS)
        texts: list[tuple[Text, Text]] = []
        for number, (positive, negative) in enumerate(prompts):
            said = [replies[2 * number].text, replies[2 * number + 1].text]
            if all(text.strip() for text in said):
                texts.append(((positive, said[0]), (negative, said[1])))
        if len(texts) < 2:
            return Declined(f"the model gave no replies to make a persona vector for {query.text!r} of")
        chosen = blocks(self.layers, bench.layers)
        activations = bench.read([text for pair in texts for text in pair], chosen, "mean")
        signs = np.where(swapped(len(texts), bench.seed, query.text) & shuffled, -1, 1)[None, :, None]
        vectors = (signs * (activations[:, ::2] - activations[:, 1::2])).mean(1).astype(np.float32)
        return tuple(Placed(layer, vector) for layer, vector in zip(chosen, vectors, strict=True))
