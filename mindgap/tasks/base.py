"""What a task is, and what the built-in ones share: settings and a seeded, subject-stratified order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
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
        """The option that a generated reply settles on, or why it cannot be told; None if no option was asked for."""

    def option_request(self, item: Item, scoring: str) -> OptionQuestion:
        """The same item as a log-likelihood question. scoring: `continuation` or `letter`."""


@dataclass(frozen=True)
class TaskSettings:
    """Settings of every built-in task.

    seed: fixes which items, their order and the option shuffles. limit: how many items; None = all there are.
    max_tokens: longest response, in tokens. system: the task's system prompt; empty = none.
    instruction_mode: what a method's instruction does to that prompt, `add` or `replace`.
    """

    name: str
    system: str
    max_tokens: int
    seed: int = 0
    limit: int | None = None
    instruction_mode: str = "add"

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


def conversation(system: str, user: str) -> tuple[Message, ...]:
    """A system and a user message; an empty system prompt gives the user message alone."""
    turns = (Message("user", user),)
    return (Message("system", system), *turns) if system.strip() else turns


def seeded_rank(seed: int, *what: str | int) -> str:
    """A key to sort by: looks random, depends on `seed` and `what` alone.

    Each thing's rank is its own, so that no draw depends on how many were made before it, on other settings, or
    on Python's hash seed.
    """
    return content_key("rank", seed=seed, what=what)


def stratified(items: Iterable[Item], seed: int, limit: int | None) -> tuple[Item, ...]:
    """A seeded draw of `limit` items that takes from the subjects in turn, so that each counts alike until it runs out.

    A smaller limit is always a prefix of a larger one: what was made for few items serves for many.
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
