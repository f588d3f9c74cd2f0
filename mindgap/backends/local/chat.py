"""From messages to tokens and back, with the model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindgap.core.records import Message


def render(tokenizer: Any, messages: Sequence[Message]) -> str:
    """The prompt as text, up to where the assistant's reply begins.

    A template that refuses system messages (Gemma's, say) gets the system text at the head of the first user
    turn; a model without a template gets plain labelled turns.
    """
    turns = [{"role": message.role, "content": message.content} for message in messages]
    if not getattr(tokenizer, "chat_template", None):
        return "".join(f"{turn['role'].capitalize()}: {turn['content']}\n\n" for turn in turns) + "Assistant:"
    from jinja2 import TemplateError

    try:
        return _apply(tokenizer, turns)
    except TemplateError:
        if turns[0]["role"] != "system" or len(turns) < 2:
            raise
        first = {"role": turns[1]["role"], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
        return _apply(tokenizer, [first, *turns[2:]])


def _apply(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return text


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text; the template has put special tokens in, the tokenizer adds none."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def encode_prompt(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    ids = encode(tokenizer, render(tokenizer, messages))
    if not getattr(tokenizer, "chat_template", None) and tokenizer.bos_token_id is not None:
        ids = [tokenizer.bos_token_id, *ids]
    return ids
