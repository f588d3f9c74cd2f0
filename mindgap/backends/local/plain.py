"""The form in which a model without a chat template, a base model, is spoken to: labelled turns, as in a transcript."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.core.records import Message

LABELS = {"system": "System:", "user": "User:", "assistant": "Assistant:"}
NEXT_TURNS = tuple(f"\n{label}" for label in LABELS.values())
"""Where a reply ends: a base model goes on with the transcript, and would ask and answer further questions."""
SPACE = " "
"""Between a label and what is said."""


def transcript(messages: Sequence[Message]) -> str:
    """The messages as labelled turns, up to where the assistant's reply begins with a space."""
    turns = "".join(f"{LABELS[message.role]}{SPACE}{message.content}\n\n" for message in messages)
    return f"{turns}{LABELS['assistant']}"


def reply_end(text: str) -> int | None:
    """Where the next turn begins in what a model wrote; None where it has not come to that."""
    turns_at = [place for turn in NEXT_TURNS if (place := text.find(turn)) >= 0]
    return min(turns_at, default=None)
