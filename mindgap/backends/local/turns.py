"""How messages are handed to a chat template, and whether all that they say came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindgap.core.records import Message

THOUGHT_END = "</think>"
"""Templates leave out what an earlier assistant message says before it."""


@dataclass(frozen=True)
class Form:
    """What is made of messages before a template gets them.

    Attributes:
        merged: System messages stand at the head of the next user message.
        parts: Contents are lists of parts, as models of vision and text want them.
    """

    merged: bool
    parts: bool

    def turns(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages as transformers takes them."""
        spoken = without_system(messages) if self.merged else messages
        return [
            {
                "role": message.role,
                "content": [{"type": "text", "text": message.content}] if self.parts else message.content,
            }
            for message in spoken
        ]


FORMS = (Form(False, False), Form(False, True), Form(True, False), Form(True, True))
"""From the one that changes least."""


def without_system(messages: Sequence[Message]) -> list[Message]:
    """System messages moved to the head of the next user message; where there is none, they become one."""
    turns: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif message.role == "user" and waiting:
            turns.append(Message("user", _joined([*waiting, message.content])))
            waiting = []
        else:
            turns.append(message)
    if waiting and turns and turns[-1].role == "user":
        turns[-1] = Message("user", _joined([turns[-1].content, *waiting]))
    elif waiting:
        turns.append(Message("user", _joined(waiting)))
    return turns


def _joined(texts: Sequence[str]) -> str:
    return "\n\n".join(text for text in texts if text.strip())


def left_out(prompt: str, messages: Sequence[Message]) -> Message | None:
    """The first message, the longest ones taken first, whose text does not stand in `prompt`; None where all do.

    Each occurrence counts for one message, so that a short text which is part of a longer one has to be there itself.
    Templates may trim what they are given.
    """
    rest = prompt
    for message in sorted(messages, key=lambda message: len(message.content), reverse=True):
        content = message.content
        text = (content.rpartition(THOUGHT_END)[2] if message.role == "assistant" else content).strip()
        before, text_there, after = rest.partition(text) if text else (rest, "-", "")
        if not text_there:
            return message
        rest = f"{before}\0{after}"
    return None


def markers(roles: Sequence[str]) -> list[Message]:
    """A conversation of these roles, each text a word that stands nowhere else."""
    return [Message(role, f"marker{number}of{len(roles)}words") for number, role in enumerate(roles)]  # type: ignore[arg-type]


def as_data(prompt: str, messages: Sequence[Message]) -> bool:
    """Whether a template has written the parts it was given as Python or JSON writes them."""
    return any(f"{quote}{message.content}{quote}" in prompt for message in messages for quote in "'\"")
