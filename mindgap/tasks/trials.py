"""Tasks that score their items themselves, from replies to several prompts or from the likelihood of given texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mindgap.core.measurement import Declaration, Value
from mindgap.core.records import Completion, Decoding, Item, Message, OptionScores
from mindgap.tasks.base import Task


@dataclass(frozen=True)
class Generation:
    """A reply to a prompt that is read as it stands.

    Attributes:
        messages: One message, whose text is the prompt; with `chat`, what the chat template makes the prompt of.
        decoding: How the reply's tokens are chosen.
        until: Texts at which it ends; they are no part of it.
        chat: Whether the model's chat template makes the prompt.
        repeat: 0, 1, … where the same is asked several times.
    """

    messages: tuple[Message, ...]
    decoding: Decoding
    until: tuple[str, ...] = ()
    chat: bool = False
    repeat: int = 0


@dataclass(frozen=True)
class Likelihoods:
    """The log-likelihood of texts after a prompt that is read as it stands.

    Attributes:
        messages: As of `Generation`; none where each text is a whole one.
        texts: What is scored.
        chat: As of `Generation`.
    """

    messages: tuple[Message, ...]
    texts: tuple[str, ...]
    chat: bool = False


Trial = Generation | Likelihoods
Outcome = Completion | OptionScores


@runtime_checkable
class SelfScoring(Task, Protocol):
    """A task with its own prompts and scores. It needs a backend that takes prompts as they stand."""

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """What `score` gives, in display order; may load the task."""

    def trials(self, item: Item) -> tuple[Trial, ...]:
        """What is asked about an item, before any method has had its say. The first reply is what a judge is shown."""

    def score(self, item: Item, outcomes: Sequence[Outcome]) -> Mapping[str, Value]:
        """The item's scores by the names of `declarations`; one that does not apply is not there.

        Args:
            item: One of `load`.
            outcomes: A completion for each generation and scores for each likelihood, in the order of `trials`.
        """
