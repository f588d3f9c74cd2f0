"""What a server of chat completions replied, checked once, here: nothing behind this file meets a reply as it came.

Lenient where providers differ (content in parts, no `usage`, counts as text, one of two names for thoughts); whatever
else is not as the protocol has it is an `OddReply`, with a reason for people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from mindgap.core.characters import encodable
from mindgap.core.secrets import excerpt

MOST_TOKENS = 10**9
"""No reply takes more; a higher count is a mistake and counts as untold."""


class OddReply(ValueError):
    """A reply that is not what the protocol says. The message is one line.

    Attributes:
        status: Of HTTP, where the reply is an error that was sent with status 200; None else.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def _text(value: Any) -> Any:
    """Text, or the texts of a list of parts, as some providers send it. Anything else is left to be refused."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        texts = [part.get("text", "") for part in value]
        if any("text" in part for part in value) and all(isinstance(text, str) for text in texts):
            value = "".join(texts)
    return encodable(value) if isinstance(value, str) else value


def _text_or_nothing(value: Any) -> Any:
    return encodable(value) if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    """Tokens; None where the server does not say, or says what cannot be."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= MOST_TOKENS else None


Text = Annotated[str | None, BeforeValidator(_text)]
Aside = Annotated[str | None, BeforeValidator(_text_or_nothing)]
"""What only some servers send: of another kind it counts as not sent."""
Count = Annotated[int | None, BeforeValidator(_count)]


class _Message(BaseModel):
    content: Text = None
    refusal: Aside = None
    reasoning_content: Aside = None
    reasoning: Aside = None
    provider_specific_fields: Annotated[dict[str, Any], BeforeValidator(lambda v: v if isinstance(v, dict) else {})] = (
        Field(default_factory=dict)  # litellm's place for what is not in OpenAI's protocol
    )

    @property
    def refused(self) -> str | None:
        beside = self.provider_specific_fields.get("refusal")
        return self.refusal or (encodable(beside) if isinstance(beside, str) else None) or None

    @property
    def thought(self) -> str:
        """Servers call it one or the other; an empty one is the server's way to say that there is none."""
        beside = (self.provider_specific_fields.get(name) for name in ("reasoning_content", "reasoning"))
        told = next((text for text in (self.reasoning_content, self.reasoning, *beside) if isinstance(text, str)), "")
        return encodable(told).strip()


class _Choice(BaseModel):
    message: _Message
    finish_reason: Aside = None
    logprobs: Any = None


class _Usage(BaseModel):
    prompt_tokens: Count = None
    completion_tokens: Count = None


class _Answer(BaseModel):
    choices: Annotated[list[Any], Field(min_length=1)]
    usage: Annotated[_Usage, BeforeValidator(lambda value: value if isinstance(value, dict) else {})] = Field(
        default_factory=_Usage
    )


LogProbability = Annotated[float, Field(allow_inf_nan=False, le=0.01)]
"""In nats. Servers that round may say a little more than 0."""
TokenText = Annotated[str, BeforeValidator(lambda value: encodable(value) if isinstance(value, str) else value)]


class _Alternative(BaseModel):
    token: TokenText
    logprob: LogProbability


class _Token(_Alternative):
    bytes: list[Annotated[int, Field(ge=0, le=255)]] | None = None
    top_logprobs: list[_Alternative] | None = None


class _LogProbabilities(BaseModel):
    content: list[_Token] | None = None


@dataclass(frozen=True)
class Parsed:
    """A reply as the protocol has it; see `mindgap.providers.chat.Reply`.

    Attributes:
        logprobs: A mapping per token; empty where there are none that can be used.
        logprobs_fault: Why those that the server sent cannot be used; None where they can, or it sent none.
    """

    text: str
    finish_reason: str
    refusal: str | None
    thought: str
    prompt_tokens: int | None
    completion_tokens: int | None
    logprobs: tuple[dict[str, Any], ...]
    logprobs_fault: str | None


def parsed(answer: Any) -> Parsed:
    """What a reply of status 200 says.

    Args:
        answer: The decoded JSON.

    Raises:
        OddReply: It is not a chat completion.
    """
    if not isinstance(answer, Mapping):
        raise OddReply(f"the server's reply is not a JSON object but {_kind(answer)}")
    if answer.get("error") and not answer.get("choices"):
        raise _error(answer["error"])
    if not answer.get("choices"):
        raise OddReply("the server's reply holds no choice")
    try:
        whole = _Answer.model_validate(dict(answer))
        choice = _Choice.model_validate(whole.choices[0])
    except ValidationError as error:
        raise OddReply(f"the server's reply is not a chat completion: {first_fault(error)}") from error
    tokens, fault = _tokens(choice.logprobs)
    return Parsed(
        text=choice.message.content or "",
        finish_reason=choice.finish_reason or "",
        refusal=choice.message.refused,
        thought=choice.message.thought,
        prompt_tokens=whole.usage.prompt_tokens,
        completion_tokens=whole.usage.completion_tokens,
        logprobs=tokens,
        logprobs_fault=fault,
    )


def reply_text(content: Any) -> str:
    """A reply's content as text. Raises OddReply for what is none."""
    text = _text(content)
    if text is not None and not isinstance(text, str):
        raise OddReply(f"the reply's content is no text but {_kind(content)}")
    return text or ""


def count(tokens: Any) -> int | None:
    """A number of tokens as a server tells it; None where it tells none that can be."""
    return _count(tokens)


def _tokens(sent: Any) -> tuple[tuple[dict[str, Any], ...], str | None]:
    """The tokens with their log-probabilities, or why those that were sent cannot be used."""
    if sent is None:
        return (), None
    try:
        content = _LogProbabilities.model_validate(sent).content or []
    except ValidationError as error:
        return (), f"the log-probabilities cannot be used: {first_fault(error)}"
    return tuple(token.model_dump() for token in content), None


def _error(error: Any) -> OddReply:
    """An error that came with status 200, as some gateways send it."""
    said, status = error, None
    if isinstance(error, Mapping):
        said = error.get("message") or "no reason was given"
        code = error.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else None
    return OddReply(f"the server replied with an error: {encodable(excerpt(str(said), 300))}", status)


def first_fault(error: ValidationError) -> str:
    """Where the first fault lies, and what would be right there, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where + ': ' if where else ''}{first['msg'].lower()}, and it is {_kind(first['input'])}"


def _kind(value: Any) -> str:
    """A value for a message, whatever its size."""
    if isinstance(value, float | bool | None):
        return str(value)
    names = {dict: "an object", list: "a list", str: "text", int: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")
