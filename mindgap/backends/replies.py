"""A completion from what a model wrote, its thought told apart."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.core.records import Completion
from mindgap.text.thoughts import Parted


def completion_of(
    parted: Parted,
    *,
    cut: bool,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    tokens: Sequence[int] = (),
) -> Completion:
    """The completion that thought and reply amount to.

    Where the model was still thinking when it stopped, or was cut off before its reply had a word, there is no reply.

    Args:
        parted: What it wrote.
        cut: Whether it was cut off at its greatest length.
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written, those of the thought included.
        tokens: The reply's ids, where they are known.
    """
    if not parted.ended or (cut and parted.thought and not parted.reply):
        return Completion("", "thought", prompt_tokens, completion_tokens, thought=parted.thought)
    return Completion(
        parted.reply,
        "length" if cut else "stop",
        prompt_tokens,
        completion_tokens,
        tokens=tuple(tokens),
        thought=parted.thought,
    )
