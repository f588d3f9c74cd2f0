"""Prompts as they stand, without a chat template: their tokens, the replies to them, the texts scored after them.

As lm-evaluation-harness has it for models of transformers, so that figures are the same: prompt and continuation are
encoded as one text, spaces at the prompt's end count for the continuation, and what is too long loses its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mindgap.backends.local.chat import TAIL
from mindgap.core.errors import PromptError


@dataclass(frozen=True)
class Piece:
    """Tokens to score after others.

    Attributes:
        option: Number of the option that they belong to; a long one has several pieces.
        prompt: What comes before, at least one token.
        tokens: What is scored.
    """

    option: int
    prompt: list[int]
    tokens: list[int]


def prompt_of(tokenizer: Any, text: str, longest: int) -> list[int]:
    """Token ids of a prompt, the last `longest` of them.

    Raises:
        PromptError: Nothing of it is left.
    """
    if not (tokens := _encoded(tokenizer, text)[-longest:] if longest > 0 else []):
        raise PromptError("the prompt is empty, or max_tokens leaves no room for it in the model's context")
    return tokens


def pieces(tokenizer: Any, prompt: str | None, options: Sequence[str], context: int) -> Iterator[Piece]:
    """What has to be scored for each of `options`.

    Args:
        tokenizer: The model's.
        prompt: What they follow; None where each is a whole text.
        options: The texts.
        context: Most tokens that the model reads at once.

    Raises:
        PromptError: An option that follows a prompt is longer than the model's context.
    """
    for number, option in enumerate(options):
        if prompt is None:
            yield from _windows(number, [_first(tokenizer), *_encoded(tokenizer, option)], context)
            continue
        before, tokens = _pair(tokenizer, prompt, option)
        if len(tokens) > context:
            raise PromptError(f"an option of {len(tokens)} tokens exceeds the model's context of {context}")
        whole = [*before, *tokens][-(context + 1) :]  # the last one is predicted and not read
        yield Piece(number, whole[: len(whole) - len(tokens)], tokens)


def ended(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> bool:
    """Whether what was written holds one of the texts at which a reply ends, looking at its last tokens."""
    if not until:
        return False
    tail = _decoded(tokenizer, tokens[-TAIL - max(map(len, until)) :])
    return any(text in tail for text in until)


def reply_of(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> str:
    """What was written, up to the first of the texts at which it ends."""
    text = _decoded(tokenizer, tokens)
    for end in until:
        text = text.partition(end)[0]
    return text


def _pair(tokenizer: Any, prompt: str, option: str) -> tuple[list[int], list[int]]:
    """Tokens of a prompt and of what follows it."""
    if not prompt:
        first, tokens = _first(tokenizer), _encoded(tokenizer, option, special=False)
        return (tokens[:1], tokens[1:]) if tokens[:1] == [first] else ([first], tokens)
    stripped = prompt.rstrip()
    before = _encoded(tokenizer, stripped) or [_first(tokenizer)]
    return before, _encoded(tokenizer, prompt + option)[len(before) :]


def _windows(option: int, text: list[int], context: int) -> Iterator[Piece]:
    """A text, its first token given, in windows: every token is predicted once, the last window reads all it can."""
    start = 1
    while start < len(text):
        end = min(start + context, len(text))
        begin = min(start - 1, max(0, end - context - 1))
        yield Piece(option, text[begin:start], text[start:end])
        start = end


def _first(tokenizer: Any) -> int:
    """The token that stands before a text that nothing stands before."""
    first: int = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return first


def _encoded(tokenizer: Any, text: str, *, special: bool = True) -> list[int]:
    """Token ids of a text, with what the tokenizer puts before every text, unless the text itself begins with it."""
    first = tokenizer.decode([_first(tokenizer)])
    ids: list[int] = tokenizer(text, add_special_tokens=special and not text.startswith(first))["input_ids"]
    return ids


def _decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=True)
    return text
