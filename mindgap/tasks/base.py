"""What a task is, and what the built-in ones share: settings and a seeded, subject-stratified order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Answer, Item, Message

INSTRUCTION_MODES = ("add", "replace")

OptionQuestion = tuple[tuple[Message, ...], tuple[str, ...]]
"""Messages, and the replies to them whose log-likelihoods stand for the options, in the order of the options."""


class Task(Protocol):
    """A task's settings and its verbs (`conf/task/*.yaml`). Implementations are frozen and hashable."""

    @property
    def name(self) -> str:
        """Short name, for folders and tables."""

    @property
    def max_tokens(self) -> int:
        """Longest response the task needs, in tokens."""

    @property
    def instruction_mode(self) -> str:
        """`add`: a method's instruction joins the task's system prompt. `replace`: it takes its place."""

    def check(self) -> None:
        """Raise what `load` would raise as far as that can be told cheaply. Called while the config is checked."""

    def load(self) -> tuple[Item, ...]:
        """The items, in order. The same settings give the same items, order and options on every machine."""

    def messages(self, item: Item) -> tuple[Message, ...]:
        """What the model is asked for a generated response, before any method has had its say."""

    def read(self, item: Item, reply: str) -> Answer | None:
        """The option that a generated reply settles on, or why it cannot be told.

        Args:
            item: One of `load`.
            reply: What the model said.

        Returns:
            None if no option was asked for.
        """

    def option_request(self, item: Item, scoring: str) -> OptionQuestion:
        """The item as a log-likelihood question.

        Args:
            item: One of `load`.
            scoring: `continuation` (the options' texts as replies) or `letter` (their letters).
        """


@dataclass(frozen=True)
class TaskSettings:
    """Settings of every built-in task.

    Attributes:
        name: Short name, for folders and tables.
        system: The task's system prompt; empty = none.
        max_tokens: Longest response, in tokens.
        seed: Fixes which items, their order and the option shuffles.
        limit: How many items; None = all there are.
        instruction_mode: What a method's instruction does to the system prompt: `add` joins it, `replace` takes its
            place.
        few_shot: Examples, put before each item: user and assistant messages in turn.
    """

    name: str
    system: str
    max_tokens: int
    seed: int = 0
    limit: int | None = None
    instruction_mode: str = "add"
    few_shot: tuple[Message, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("task.name is empty: give the task a short name, it is used in folders and tables")
        if self.max_tokens < 1:
            raise ConfigError(f"task.max_tokens must be at least 1, not {self.max_tokens}")
        if self.seed < 0:
            raise ConfigError(f"task.seed must be 0 or more, not {self.seed}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"task.limit must be at least 1, or null for all items, not {self.limit}")
        if self.instruction_mode not in INSTRUCTION_MODES:
            raise ConfigError(f"task.instruction_mode={self.instruction_mode!r}: choose add or replace")
        if wrong := order_trouble((*self.few_shot, Message("user", "the item"))):
            raise ConfigError(f"task.few_shot: {wrong}. Its last message is the assistant's: the item comes after it")
        if any(message.role == "system" for message in self.few_shot):
            raise ConfigError("task.few_shot: it has a system message; what is said there belongs into task.system")

    def conversation(self, item: Item, user: str, *, system: str | None = None) -> tuple[Message, ...]:
        """The messages that put an item: system prompt, examples, what was said before, the question.

        Args:
            item: One of `load`.
            user: The question as it is put.
            system: The system prompt; None = the task's own.
        """
        own = self.system if system is None else system
        before = [message for message in item.turns if message.role != "system"]
        systems = [own, *(message.content for message in item.turns if message.role == "system")]
        asked = "\n\n".join(text for text in systems if text.strip())
        turns = (*self.few_shot, *before, Message("user", user))
        return (Message("system", asked), *turns) if asked else turns


def order_trouble(messages: Sequence[Message]) -> str | None:
    """What is wrong with the order of a conversation's roles; None where nothing is.

    A system message may come first; then user and assistant speak in turn, the user first and last.
    """
    spoken = [message.role for message in messages]
    spoken = spoken[1:] if spoken[:1] == ["system"] else spoken
    usual = ["user" if number % 2 == 0 else "assistant" for number in range(len(spoken))]
    for number, (role, other) in enumerate(zip(spoken, usual, strict=True), start=1):
        if role != other:
            return f"message {number} should be the {other}'s, and is the {role}'s"
    return None if len(spoken) % 2 else "the last message should be the user's"


def seeded_rank(seed: int, *what: str | int) -> str:
    """A key to sort by that looks random: it depends on its arguments alone.

    Each thing's rank is its own, so that no draw depends on how many were made before it, on other settings, or on
    Python's hash seed.

    Args:
        seed: Another seed, another order.
        what: Names the thing.
    """
    return content_key("rank", seed=seed, what=what)


def stratified(items: Iterable[Item], seed: int, limit: int | None) -> tuple[Item, ...]:
    """A seeded draw that takes from the subjects in turn, so that each counts alike until it runs out.

    A smaller limit is always a prefix of a larger one: what was made for few items serves for many.

    Args:
        items: What to draw from, in any order.
        seed: Of the draw.
        limit: How many; None = all.
    """
    subjects: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        subjects[item.subject].append(item)
    turns = []
    for subject, members in subjects.items():
        members.sort(key=lambda item: seeded_rank(seed, item.id))
        turns += [(turn, seeded_rank(seed, subject), item) for turn, item in enumerate(members)]
    turns.sort(key=lambda entry: entry[:2])
    return tuple(item for _, _, item in turns[:limit])
