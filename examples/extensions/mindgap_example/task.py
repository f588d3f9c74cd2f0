"""A task: sums, whose answers are read from the reply as its last number."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from mindgap.core.records import Answer, Item, Message
from mindgap.tasks.base import OptionQuestion, TaskSettings


@dataclass(frozen=True)
class Sums(TaskSettings):
    """`limit` sums (20 where it is null) of two numbers up to `largest`.

    Attributes:
        largest: Of the numbers.
    """

    largest: int = 20

    def check(self) -> None:
        """Nothing can be missing: the items are made here."""

    def load(self) -> tuple[Item, ...]:
        """The same seed gives the same sums; a smaller limit gives the first of them."""
        draw = random.Random(self.seed)
        pairs = [(draw.randint(1, self.largest), draw.randint(1, self.largest)) for _ in range(self.limit or 20)]
        return tuple(
            Item(f"sum/{number}/{one}+{other}", f"What is {one} + {other}?", "sums", reference=(str(one + other),))
            for number, (one, other) in enumerate(pairs)
        )

    def messages(self, item: Item) -> tuple[Message, ...]:
        """System prompt and question."""
        return self.conversation(item, item.question)

    def read(self, item: Item, reply: str) -> Answer | None:
        """The last whole number of the reply; nothing is guessed where there is none."""
        numbers = re.findall(r"-?\d+", reply)
        if not numbers:
            return Answer(None, "there is no number in the reply")
        return Answer(None, text=numbers[-1], right=numbers[-1] in item.reference)

    def option_request(self, item: Item, scoring: str) -> OptionQuestion:
        """Never asked: these items have no options."""
        return self.messages(item), ()
