"""One chat completion from any provider that litellm knows: pace, retries, errors as values, cost, no secrets kept.

litellm's own retries differ by provider (only some honour Retry-After, some do not wait at all), so they are switched
off and done here, alike for all. Its cache is never used: its key ignores `api_base` and `extra_body`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import logging
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mindgap.core.errors import ConfigError
from mindgap.core.records import Message
from mindgap.providers import pace
from mindgap.providers.http import Trouble, complete, pause, reason
from mindgap.providers.parsing import OddReply, parsed

DIRECT = ("openai/", "hosted_vllm/")
"""Prefixes of litellm's names for OpenAI-compatible servers; with an address, these are asked without litellm."""

BYTES_PER_TOKEN = 3
"""For estimates that should rather be too high: English text has about 4, Chinese about 3."""


@dataclass(frozen=True)
class Reply:
    """What the model said.

    Attributes:
        text: Empty where it declined.
        thought: What it thought before, where the provider keeps that apart; empty where it does not, or did not think.
        finish_reason: Why it ends, in the provider's words ("stop", "length", "content_filter").
        refusal: Its own words where it declined.
        prompt_tokens: Tokens read; None where unknown.
        completion_tokens: Tokens written; None where unknown.
        cost_usd: In US dollars; None where unknown.
        logprobs: A mapping per token of `text` with `token`, `bytes`, `logprob` and `top_logprobs`, as OpenAI's
            protocol has them; empty where the provider gives none.
        logprobs_fault: Why the log-probabilities that came cannot be used; None where they can, or none came.
    """

    text: str
    finish_reason: str
    refusal: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    logprobs: Sequence[dict[str, Any]] = ()
    thought: str = ""
    logprobs_fault: str | None = None


@dataclass(frozen=True)
class Failure:
    """Why there is no reply.

    Attributes:
        reason: One line, without the key.
        transient: Asking again later may help; False where the request itself is at fault.
    """

    reason: str
    transient: bool = True


@dataclass(frozen=True)
class ChatApi:
    """A model behind an API.

    Attributes:
        model: litellm's name for it.
        api_base: Address of an OpenAI-compatible server; None = the provider's own.
        key_env: *name* of the environment variable with the key, read at each call and never kept; None = no key
            needed.
        timeout: Seconds per call.
        max_retries: Calls after the first one that failed.
        requests_per_minute: Most of them; None = no limit.
        tokens_per_minute: Most of them, read and written together; None = no limit.
        usd_per_million: Price of tokens read and of tokens written; None = as in litellm's list.
    """

    model: str
    api_base: str | None = None
    key_env: str | None = None
    timeout: float = 60.0
    max_retries: int = 5
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    usd_per_million: tuple[float, float] | None = None

    @property
    def base(self) -> str | None:
        """Address that calls go to, as far as it is set: OpenAI's client also takes it from the environment."""
        if self.api_base is None and ("/" not in self.model or self.model.startswith("openai/")):
            return os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
        return self.api_base

    @property
    def direct(self) -> bool:
        """Whether the server is asked without litellm between: see `mindgap.providers.http`."""
        return bool(self.base) and self.model.startswith(DIRECT)

    @property
    def identity(self) -> str:
        """Model, and host, port and path of the server where it is not the provider's own. Holds no secret."""
        if not self.base:
            return self.model
        parts = urlsplit(self.base)
        port = f":{parts.port}" if parts.port else ""
        return f"{self.model}@{parts.hostname}{port}{parts.path.rstrip('/')}"

    @cached_property
    def price(self) -> tuple[float, float] | None:
        """US dollars per token read and per token written; None where unknown."""
        if self.usd_per_million is not None:
            return self.usd_per_million[0] / 1e6, self.usd_per_million[1] / 1e6
        return prices(self.model) or (prices(self.model.partition("/")[2]) if self.direct else None)

    def lacks(self, group: str) -> list[str]:
        """What is missing here, as `Backend.lacks` says it.

        Args:
            group: The configuration group, for the message.
        """
        if self.key_env is None or os.environ.get(self.key_env):
            return []
        return [f"a key (set {self.key_env}, or {group}.key_env to the variable that holds it, null if none is needed)"]

    def prepare(self) -> None:
        """Import and read what calls need, which takes seconds: before the event loop, which that would hold up."""
        if self.direct:
            import aiohttp  # noqa: F401

            _ = self.price
        else:
            import_litellm()

    async def ask(self, messages: Sequence[Message], **settings: Any) -> Reply | Failure:
        """The model's reply to `messages`. Failures of the API are returned, after `max_retries` further calls.

        Args:
            messages: The conversation so far.
            settings: Passed to the API as they are; None leaves one out, and what the provider does not know is
                dropped.
        """
        key = os.environ.get(self.key_env, "") if self.key_env else ""
        body = {
            "messages": [message.as_dict() for message in messages],
            **{name: value for name, value in settings.items() if value is not None},
        }
        limits = pace.Pace(self.identity, self.requests_per_minute, self.tokens_per_minute)
        tokens = estimated_tokens(messages) + (settings.get("max_tokens") or 0)
        for attempt in itertools.count():
            if (wait := limits.wait(tokens)) > 0:
                await asyncio.sleep(wait)
            try:
                reply = await (self._directly(body, key) if self.direct else self._through_litellm(body, key))
            except Trouble as trouble:
                again_in = pause(trouble, attempt, self.max_retries)
                if again_in is None:
                    return Failure(reason(trouble, key, attempt + 1), not trouble.at_fault)
                await asyncio.sleep(again_in)
                continue
            except OddReply as odd:
                return Failure(reason(odd, key, attempt + 1))
            if reply.prompt_tokens is not None:
                limits.used(tokens, reply.prompt_tokens + (reply.completion_tokens or 0))
            return reply
        raise AssertionError("unreachable")

    async def _directly(self, body: dict[str, Any], key: str) -> Reply:
        model = self.model.partition("/")[2]
        answer = await complete(self.base or "", key or "none", {"model": model, **body}, self.timeout)
        return self._reply(answer)

    async def _through_litellm(self, body: dict[str, Any], key: str) -> Reply:
        import openai  # litellm's errors are subclasses of openai's

        litellm = import_litellm()
        if not key and self.base:
            key = "none"  # openai's client insists on some key, also where the server wants none
        try:
            response = await litellm.acompletion(
                model=self.model,
                api_base=self.base,
                api_key=key or None,
                timeout=self.timeout,
                max_retries=0,
                num_retries=0,
                drop_params=True,
                **body,
            )
        except openai.APIError as error:
            status = getattr(error, "status_code", None)
            raise Trouble(
                str(error).removeprefix("litellm."),
                status if isinstance(status, int) else None,  # it may be a code of the server's own, as text
                pace.asked_to_wait(getattr(error, "litellm_response_headers", None) or {}),
                isinstance(error, litellm.ContextWindowExceededError | litellm.ContentPolicyViolationError),
            ) from error
        except Exception as error:  # the seam to litellm, which takes apart what the server sent in many ways
            raise OddReply(f"litellm cannot read the server's reply ({type(error).__name__}: {error})") from error
        return self._reply(response.model_dump(warnings=False), response._hidden_params.get("response_cost"))

    def _reply(self, answer: Mapping[str, Any], cost: Any = None) -> Reply:
        """The reply that `answer`, in OpenAI's protocol, holds.

        Args:
            cost: In US dollars, as litellm tells it; a price of ours goes first.

        Raises:
            Trouble: It is an error that may pass.
            OddReply: It holds none.
        """
        try:
            said = parsed(answer)
        except OddReply as odd:
            if odd.status is not None:
                raise Trouble(str(odd), odd.status) from odd
            raise
        read, written = said.prompt_tokens, said.completion_tokens
        usd = float(cost) if isinstance(cost, int | float) and 0 <= cost < math.inf else None
        priced = self.direct or self.usd_per_million is not None
        if priced and self.price and read is not None and written is not None:
            usd = read * self.price[0] + written * self.price[1]
        return Reply(
            text=said.text,
            finish_reason=said.finish_reason,
            refusal=said.refusal,
            prompt_tokens=read,
            completion_tokens=written,
            cost_usd=usd,
            logprobs=said.logprobs,
            thought=said.thought,
            logprobs_fault=said.logprobs_fault,
        )


def estimated_tokens(messages: Sequence[Message]) -> int:
    """Tokens of `messages`, rather too many than too few."""
    return sum(len(message.content.encode()) for message in messages) // BYTES_PER_TOKEN


def check_settings(group: str, api_base: str | None, concurrency: int, timeout: float, max_retries: int) -> None:
    """Refuse settings out of range.

    Args:
        group: The configuration group that they stand in, for the message.
        api_base: Address of a server; None = the provider's own.
        concurrency: Calls under way at once.
        timeout: Seconds per call.
        max_retries: Calls after the first one that failed.

    Raises:
        ConfigError: With the setting's name, and what would do.
    """
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

    warnings.filterwarnings("ignore", message="Pydantic serializer warnings")  # what a server sent is checked here
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # every failure is reported by its own reason here
    return litellm


def prices(model: str) -> tuple[float, float] | None:
    """US dollars per token read and per token written, as litellm's own list has them; None for an unknown model."""
    entry = _price_list().get(model)
    if not entry or "input_cost_per_token" not in entry:
        return None
    return float(entry["input_cost_per_token"]), float(entry.get("output_cost_per_token", 0.0))


@cache
def _price_list() -> dict[str, Any]:
    """litellm's packaged prices, read from its folder: importing it would take seconds."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None and spec.origin is not None
    text = (Path(spec.origin).parent / "model_prices_and_context_window_backup.json").read_text(encoding="utf-8")
    listed: dict[str, Any] = json.loads(text)
    return listed
