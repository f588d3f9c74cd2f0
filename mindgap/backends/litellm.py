"""`backend=litellm`: any model behind an API that litellm can reach, text only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mindgap.backends import replies
from mindgap.backends.base import Capability
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, OptionScores, OptionsRequest, Request
from mindgap.text.thoughts import Parted, part

if TYPE_CHECKING:
    from mindgap.providers.chat import ChatApi, Failure, Reply

CAN: frozenset[Capability] = frozenset({"generate"})

_SEEDS = 2**31
"""Providers take seeds of different widths; all take one below this."""


@dataclass(frozen=True)
class LiteLLMBackend:
    """Settings of a model behind an API, for methods that only ask in words (conf/backend/litellm.yaml).

    Attributes:
        api_base: Address of an OpenAI-compatible server; None = the provider's own.
        key_env: Name of the environment variable with the key; None = no key needed.
        concurrency: Requests under way at once.
        timeout: Seconds per request.
        max_retries: Further tries of a request that failed.
    """

    api_base: str | None = None
    key_env: str | None = "OPENAI_API_KEY"
    concurrency: int = 16
    timeout: float = 120.0
    max_retries: int = 5

    def __post_init__(self) -> None:
        from mindgap.providers.chat import check_settings

        check_settings("backend", self.api_base, self.concurrency, self.timeout, self.max_retries)

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "litellm"

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """See `Backend.lacks`."""
        missing = []
        if model.adapter is not None:
            missing.append("a way to load an adapter (model.adapter)")
        if not model.litellm_id:
            missing.append(f"litellm's name of {model.name} (model.litellm_id)")
        missing += self._api(model).lacks("backend")
        if model.template and not self._api(model).direct:
            missing.append(
                "a way to set the chat template (model.template): only OpenAI-compatible servers with an address "
                "(backend.api_base) and a model.litellm_id that begins with hosted_vllm/ or openai/ take that"
            )
        names = {
            "loglikelihood": "log-likelihoods",
            "text": "prompts without a chat template",
            "residual": "steering vectors",
            "features": "SAE features",
        }
        if beyond := sorted(names[need] for need in needs - CAN):
            missing.append(f"a way to do {' and '.join(beyond)}: litellm serves text only")
        return missing

    def open(self, model: ModelSpec) -> LiteLLMEndpoint:
        """See `Backend.open`. Connects to nothing yet."""
        if missing := self.lacks(model, frozenset()):
            raise UnavailableError(f"backend=litellm cannot run model={model.name}: it lacks {'; '.join(missing)}")
        return LiteLLMEndpoint(self._api(model), self.concurrency, model.template)

    def _api(self, model: ModelSpec) -> ChatApi:
        from mindgap.providers.chat import ChatApi

        return ChatApi(model.litellm_id or "", self.api_base, self.key_env, self.timeout, self.max_retries)


@dataclass(frozen=True)
class LiteLLMEndpoint:
    """A model behind an API, opened.

    Attributes:
        api: The model's client.
        concurrency: Requests under way at once.
        template: Settings of the model's chat template, for servers that let them be set: vLLM's and SGLang's do.
    """

    api: ChatApi
    concurrency: int
    template: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def identity(self) -> str:
        """Model and server; which weights serve that name today is the provider's secret."""
        settings = f"/template{json.dumps(dict(self.template), sort_keys=True)}" if self.template else ""
        return f"litellm/{self.api.identity}{settings}"

    @property
    def can(self) -> frozenset[Capability]:
        """See `Endpoint.can`."""
        return CAN

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Endpoint.generate`. The seed is sent where the provider knows seeds."""
        from mindgap.providers.loop import run_each

        self.api.prepare()  # here and not in the event loop, which it would hold up for seconds
        yield from run_each(self._complete, requests, self.concurrency)

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        """Refuse: see `can`.

        Raises:
            UnavailableError: Always.
        """
        raise UnavailableError("backend=litellm serves text only, no log-likelihoods")

    async def _complete(self, request: Request) -> Completion:
        if request.edits:  # never pass off unsteered text as steered
            return _error("backend=litellm cannot steer inside the model")
        decoding = request.decoding
        sampled = decoding.temperature > 0
        reply = await self.api.ask(
            request.messages,
            max_tokens=decoding.max_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p if sampled else None,
            seed=request.seed % _SEEDS if sampled else None,
            chat_template_kwargs=dict(self.template) if self.template else None,
        )
        return completion_of(reply)


def completion_of(reply: Reply | Failure) -> Completion:
    """The completion that a reply amounts to. A refusal is a response like any other; a filtered one is an error."""
    from mindgap.providers.chat import Failure

    if isinstance(reply, Failure):
        return _error(reply.reason)
    if reply.finish_reason == "content_filter":
        return _error("the provider's content filter stopped the reply")
    text = reply.text or reply.refusal or ""
    parted = Parted(reply.thought, text.strip()) if reply.thought else part(text)
    return replies.completion_of(
        parted,
        cut=reply.finish_reason == "length",
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
    )


def _error(reason: str) -> Completion:
    return Completion("", "error", error=reason)
