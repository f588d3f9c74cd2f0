"""Tasks whose items are lines of a JSON file: the built-in `starter` and `open`, or a file of the user's own.

One object a line: `id`, `subject`, `question`, and for multiple choice `options` (texts) and `gold` (index of the right
one, from 0). In the place of `question` may stand `messages`, a conversation that ends with the user's question.
"""

from __future__ import annotations

import string
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.core.records import Answer, Item, Message, MessageRole
from mindgap.storage.json_lines import BadLineError, json_lines
from mindgap.tasks.base import OptionQuestion, TaskSettings, order_trouble, stratified
from mindgap.tasks.choice import MultipleChoice


@dataclass(frozen=True)
class ChoiceQuestions(MultipleChoice):
    """Multiple-choice items from a file.

    Attributes:
        path: A JSON-lines file; None = the built-in `starter` items.
    """

    path: str | None = None

    def items(self) -> tuple[Item, ...]:
        """All items of the file."""
        return tuple(read_items(_source(self.path, "starter.jsonl"), choice=True))

    def check(self) -> None:
        """See `Task.check`: reads the file."""
        self.items()


@dataclass(frozen=True)
class OpenQuestions(TaskSettings):
    """Open-ended prompts from a file: nothing to get right, all to judge.

    Attributes:
        path: A JSON-lines file; None = the built-in `open` prompts.
    """

    path: str | None = None

    def check(self) -> None:
        """See `Task.check`: reads the file."""
        self.load()

    def load(self) -> tuple[Item, ...]:
        """See `Task.load`."""
        return stratified(read_items(_source(self.path, "open.jsonl"), choice=False), self.seed, self.limit)

    def messages(self, item: Item) -> tuple[Message, ...]:
        """See `Task.messages`."""
        return self.conversation(item, item.question)

    def read(self, item: Item, reply: str) -> Answer:
        """See `Task.read`: there is nothing to read."""
        return Answer(None, "open-ended: there are no options")

    def option_request(self, item: Item, scoring: str) -> OptionQuestion:
        """Refuse: there are no options.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"task={self.name} is open-ended: it has no options to score")


def read_items(source: Path | Traversable, *, choice: bool) -> Iterator[Item]:
    """The items of a JSON-lines file, checked.

    Args:
        source: The file.
        choice: Whether they have options and a gold answer.

    Raises:
        ConfigError: With the number of the line, and what is wrong with it.
    """
    seen: set[str] = set()
    try:
        text = source.read_text(encoding="utf-8-sig")  # a byte-order mark is no part of the first item
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{source} is not in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8, for example by "
            f"iconv -f LATIN1 -t UTF-8 {source}"
        ) from error
    try:
        for number, row in json_lines(text):
            try:
                item = _item(row, choice)
            except (ValueError, TypeError, RecursionError) as error:
                raise ConfigError(f"{source}, line {number}: {error}") from error
            if item.id in seen:
                raise ConfigError(f"{source}, line {number}: the id {item.id!r} is there twice; ids tell items apart")
            seen.add(item.id)
            yield item
    except BadLineError as error:
        raise ConfigError(f"{source}, line {error.number}: {error}") from error
    if not seen:
        raise ConfigError(f"{source}: no items in it")


def _item(row: Any, choice: bool) -> Item:
    """The item of a line.

    Raises:
        ValueError: In words for the user.
    """
    if not isinstance(row, dict):
        raise ValueError("an item is a JSON object")
    asks = "messages" if "messages" in row else "question"
    known = {"id", "subject", asks} | ({"options", "gold"} if choice else set())
    if unknown := row.keys() - known:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}; an item has {', '.join(sorted(known))}")
    if missing := known - row.keys() - {"subject"}:
        raise ValueError(f"{sorted(missing)[0]!r} is missing; an item has {', '.join(sorted(known))}")
    turns = conversation_of(row["messages"]) if asks == "messages" else ()
    row = {**row, "question": turns[-1].content} if turns else row
    for key in ("id", "subject", "question"):
        if not isinstance(row.get(key, "-"), str) or not row.get(key, "-").strip():
            raise ValueError(f"{key!r} must be text")
    options = row.get("options", [])
    if choice and (not isinstance(options, list) or not all(isinstance(o, str) and o.strip() for o in options)):
        raise ValueError("'options' must be a list of texts")
    if choice and not 2 <= len(options) <= len(string.ascii_uppercase):
        raise ValueError(f"'options' must hold 2 to {len(string.ascii_uppercase)} texts, not {len(options)}")
    gold = row.get("gold")
    if choice and (not isinstance(gold, int) or isinstance(gold, bool)):
        raise ValueError("'gold' must be the number of the right option, counted from 0")
    return Item(row["id"], row["question"], row.get("subject", ""), tuple(options), gold, turns[:-1])


def conversation_of(listed: Any) -> tuple[Message, ...]:
    """The conversation of an item.

    Raises:
        ValueError: In words for the user.
    """
    if not isinstance(listed, list) or not listed:
        raise ValueError("'messages' must be a list of messages")
    for number, message in enumerate(listed, start=1):
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise ValueError(f"'messages', message {number}: a message has a role and a content, and nothing else")
        if message["role"] not in typing.get_args(MessageRole):
            raise ValueError(f"'messages', message {number}: the role is system, user or assistant")
        if not isinstance(message["content"], str) or not message["content"].strip():
            raise ValueError(f"'messages', message {number}: the content must be text")
    messages = tuple(Message(**message) for message in listed)
    if wrong := order_trouble(messages):
        raise ValueError(f"'messages': {wrong}")
    return messages


def _source(path: str | None, builtin: str) -> Path | Traversable:
    if path is None:
        return _builtin(builtin)
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(
            f"task.path={path}: there is no such file; give a JSON-lines file, or null for the built-in items"
        )
    return file


def _builtin(name: str) -> Traversable:
    return resources.files("mindgap") / "data" / name
