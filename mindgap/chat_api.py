"""One chat completion from any provider that litellm knows: retries, errors as values, cost, and no secrets kept.

litellm's own retries differ by provider (only some honour Retry-After, some do not wait at all), so they are switched
off and done here, alike for all. Its cache is never used: its key ignores `api_base` and `extra_body`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from mindgap.errors import ConfigError
from mindgap.records import Message

FIRST_WAIT = 0.5
"""Seconds before the first retry; doubled for each further one."""

LONGEST_WAIT = 60.0
"""Seconds. No retry waits longer, and a server that asks for more than this is given up on."""

RETRIED = frozenset({408, 409, 425, 429})
"""Client-error statuses that may pass. All from 500 on are retried too; a refused connection reaches us as a 500."""


@dataclass(frozen=True)
class Reply:
    """What the model said. `refusal`: its own words where it declined. Tokens and cost are None where unknown."""

    text: str
    finish_reason: str
    refusal: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why there is no reply. `transient`: asking again later may help; False where the request itself is at fault."""

    reason: str
    transient: bool = True


@dataclass(frozen=True)
class ChatApi:
    """A model behind an API.

    model: litellm's name for it. api_base: address of an OpenAI-compatible server; None = the provider's own.
    key_env: *name* of the environment variable with the key, read at each call and never kept; None = no key needed.
    timeout: seconds per call. max_retries: calls after the first one that failed.
    """

    model: str
    api_base: str | None = None
    key_env: str | None = None
    timeout: float = 60.0
    max_retries: int = 5

    @property
    def base(self) -> str | None:
        """Address that calls go to, as far as it is set: OpenAI's client also takes it from the environment."""
        if self.api_base is None and ("/" not in self.model or self.model.startswith("openai/")):
            return os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
        return self.api_base

    @property
    def identity(self) -> str:
        """Model, and host, port and path of the server where it is not the provider's own. Holds no secret."""
        if not self.base:
            return self.model
        parts = urlsplit(self.base)
        port = f":{parts.port}" if parts.port else ""
        return f"{self.model}@{parts.hostname}{port}{parts.path.rstrip('/')}"

    def lacks(self, group: str) -> list[str]:
        """What is missing here, as `Backend.lacks` says it. group: the configuration group, for the message."""
        if self.key_env is None or os.environ.get(self.key_env):
            return []
        return [f"a key (set {self.key_env}, or {group}.key_env to the variable that holds it, null if none is needed)"]

    async def ask(self, messages: Sequence[Message], **settings: Any) -> Reply | Failure:
        """The model's reply to `messages`. Failures of the API are returned, after `max_retries` further calls.

        settings: passed to the API as they are; None leaves one out, and what the provider does not know is dropped.
        """
        import openai  # litellm's errors are subclasses of openai's

        litellm = import_litellm()
        key = os.environ.get(self.key_env, "") if self.key_env else ""
        if not key and self.base:
            key = "none"  # openai's client insists on some key, also where the server wants none
        arguments = {
            "model": self.model,
            "messages": [asdict(message) for message in messages],
            "api_base": self.base,
            "api_key": key or None,
            "timeout": self.timeout,
            "max_retries": 0,
            "num_retries": 0,
            "drop_params": True,
            **{name: value for name, value in settings.items() if value is not None},
        }
        for attempt in itertools.count():
            try:
                return _reply(await litellm.acompletion(**arguments))
            except openai.APIError as error:
                wait = _wait(error, attempt)
                if attempt >= self.max_retries or wait is None:
                    return Failure(_reason(error, key, attempt + 1), not _at_fault(error))
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")


def check_settings(group: str, api_base: str | None, concurrency: int, timeout: float, max_retries: int) -> None:
    """Raise ConfigError for a setting out of range. group: the configuration group, for the message."""
    for name, value, least in (("concurrency", concurrency, 1), ("max_retries", max_retries, 0)):
        if value < least:
            raise ConfigError(f"{group}.{name} must be at least {least}, not {value}")
    if not timeout > 0:
        raise ConfigError(f"{group}.timeout must be above 0 seconds, not {timeout}")
    if api_base is not None:
        parts = urlsplit(api_base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{group}.api_base must be an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ConfigError(f"{group}.api_base must hold no secret: name the variable that does in {group}.key_env")


@cache
def import_litellm() -> Any:
    """litellm, made quiet. It takes seconds to import, so it is done on first use.

    As it comes, it downloads a price list and loads a `.env` file on import, and prints a banner with every error.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # every failure is reported by its own reason here
    return litellm


def _reply(response: Any) -> Reply | Failure:
    if not response.choices:
        return Failure("the server's reply holds no choice")
    choice, usage = response.choices[0], getattr(response, "usage", None)
    refusal = (choice.message.provider_specific_fields or {}).get("refusal")
    return Reply(
        text=choice.message.content or "",
        finish_reason=str(choice.finish_reason),
        refusal=refusal or None,
        prompt_tokens=getattr(usage, "prompt_tokens", None),
        completion_tokens=getattr(usage, "completion_tokens", None),
        cost_usd=response._hidden_params.get("response_cost"),
    )


def _wait(error: Exception, attempt: int) -> float | None:
    """Seconds until the next attempt; None if there is no point in one."""
    status = getattr(error, "status_code", None)
    if status is not None and status < 500 and status not in RETRIED:
        return None
    asked: str = (getattr(error, "litellm_response_headers", None) or {}).get("retry-after", "")
    if asked.replace(".", "", 1).isdigit():
        return float(asked) if float(asked) <= LONGEST_WAIT else None
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
    return wait * random.uniform(0.5, 1.0)  # jitter: calls that failed together come back spread out


def _at_fault(error: Exception) -> bool:
    """Whether the request as such cannot be answered, today or tomorrow."""
    litellm = import_litellm()
    return isinstance(error, litellm.ContextWindowExceededError | litellm.ContentPolicyViolationError)


def _reason(error: Exception, key: str, calls: int) -> str:
    """One line: kind, status, what the server said, without the key (some servers repeat it)."""
    text = " ".join(str(error).split()).removeprefix("litellm.")
    if key:
        text = text.replace(key, "***")
    text = text if len(text) <= 300 else text[:300] + "…"
    return f"{text} (after {calls} calls)" if calls > 1 else text


def prices(model: str) -> tuple[float, float] | None:
    """US dollars per token read and per token written, as litellm's own list has them; None for an unknown model."""
    known = import_litellm().model_cost.get(model)
    if not known or "input_cost_per_token" not in known:
        return None
    return float(known["input_cost_per_token"]), float(known.get("output_cost_per_token", 0.0))
