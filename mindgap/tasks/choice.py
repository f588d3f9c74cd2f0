"""Questions with lettered options: prompts, log-likelihood questions, reading of replies."""

from __future__ import annotations

import string
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mindgap.core.errors import ConfigError
from mindgap.core.records import Answer, Item, Message
from mindgap.tasks.answers import read_choice
from mindgap.tasks.base import OptionQuestion, TaskSettings, seeded_rank, stratified

CONTINUATION_SYSTEM = "Answer the question in a few words."
LETTER_SYSTEM = "Answer the multiple-choice question with the letter of the right option, and nothing else."


@dataclass(frozen=True)
class MultipleChoice(TaskSettings, ABC):
    """A task whose items have options. Subclasses say where the items come from.

    Attributes:
        shuffle_options: Put each item's options in an order drawn from `seed` and the item's id.
        ask: `letter` = list the options and read the letter from the reply. `open` = ask the bare question and read
            nothing; log-likelihood alone then tells what the model knows, and the reply is free to show a behaviour.
    """

    shuffle_options: bool = False
    ask: str = "letter"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ask not in ("letter", "open"):
            raise ConfigError(f"task.ask={self.ask!r}: choose letter or open")

    @abstractmethod
    def items(self) -> Iterable[Item]:
        """All items there are, in any order that is the same each time."""

    def check(self) -> None:
        """Nothing can be missing, unless a subclass says so."""

    def load(self) -> tuple[Item, ...]:
        """See `Task.load`."""
        drawn = stratified(self.items(), self.seed, self.limit)
        return tuple(shuffled(item, self.seed) for item in drawn) if self.shuffle_options else drawn

    def messages(self, item: Item) -> tuple[Message, ...]:
        """See `Task.messages`."""
        return self.conversation(item, lettered(item) if self.ask == "letter" else item.question)

    def read(self, item: Item, reply: str) -> Answer | None:
        """See `Task.read`; None with `ask: open`."""
        return read_choice(reply, item.options) if self.ask == "letter" else None

    def option_request(self, item: Item, scoring: str) -> OptionQuestion:
        """See `Task.option_request`.

        With `letter`, the letter stands alone as the reply: chat templates end the prompt with a line break or a tag,
        after which a bare capital is one token in the usual vocabularies, so all options have the same length.

        Raises:
            ConfigError: `scoring` is neither `continuation` nor `letter`.
        """
        if scoring == "continuation":
            return self.conversation(item, item.question, system=CONTINUATION_SYSTEM), item.options
        if scoring == "letter":
            letters = tuple(string.ascii_uppercase[: len(item.options)])
            return self.conversation(item, lettered(item), system=LETTER_SYSTEM), letters
        raise ConfigError(f"option scoring {scoring!r}: choose continuation or letter")


def lettered(item: Item) -> str:
    """The question with its options on lines of their own, `A. …` first."""
    lines = [f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, item.options, strict=False)]
    return "\n".join([item.question, *lines])


def shuffled(item: Item, seed: int) -> Item:
    """The item with its options in an order that depends on `seed` and the item's id alone; `gold` follows."""
    order = sorted(range(len(item.options)), key=lambda option: seeded_rank(seed, item.id, option))
    gold = None if item.gold is None else order.index(item.gold)
    return replace(item, options=tuple(item.options[option] for option in order), gold=gold)
