"""A language model behind an API as judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mindgap.chat_api import ChatApi, Failure, Reply, check_settings, import_litellm
from mindgap.errors import ConfigError
from mindgap.judges.empty import EMPTY_RESPONSE
from mindgap.judges.prompts import PROMPT_HASH, RESPONSE_FORMAT, messages
from mindgap.judges.reading import read_scores
from mindgap.loop import run_each
from mindgap.records import Judgement, JudgeRequest, Score


@dataclass(frozen=True)
class LLMJudge:
    """`judge=llm`: any model litellm knows rates behaviour and coherence in one call, analysis first.

    Fields: see conf/judge/llm.yaml. The key itself is never a field: `key_env` names the environment variable.
    """

    model: str = "gpt-4o-mini"
    api_base: str | None = None
    key_env: str | None = "OPENAI_API_KEY"
    temperature: float = 0.0
    max_tokens: int = 500
    structured: bool = True
    concurrency: int = 16
    timeout: float = 60.0
    max_retries: int = 5

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("judge.model is empty: name a model as litellm does, for example gpt-4o-mini")
        if self.temperature < 0:
            raise ConfigError(f"judge.temperature must be at least 0, not {self.temperature}")
        if self.max_tokens < 1:
            raise ConfigError(f"judge.max_tokens must be at least 1, not {self.max_tokens}")
        check_settings("judge", self.api_base, self.concurrency, self.timeout, self.max_retries)

    @property
    def name(self) -> str:
        """See `Judge.name`: the model, and its server where that is not the provider's own."""
        return self._api.identity

    @property
    def identity(self) -> str:
        """See `Judge.identity`: model, server, prompt and decoding settings."""
        form = "schema" if self.structured else "text"
        return f"llm/{self._api.identity}/{PROMPT_HASH}/t{self.temperature:g}/{self.max_tokens}/{form}"

    @property
    def api_model(self) -> str:
        """What litellm's price list calls the model."""
        return self.model

    def lacks(self) -> list[str]:
        """What is missing here to judge, one thing a sentence; spends nothing."""
        return self._api.lacks("judge")

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """See `Judge.judge`. Empty responses are not sent."""
        asked = [index for index, request in enumerate(requests) if request.response.strip()]
        for index in sorted(set(range(len(requests))) - set(asked)):
            yield index, EMPTY_RESPONSE
        if not asked:
            return
        import_litellm()  # here and not in the event loop, which it would hold up for seconds
        for place, judgement in run_each(self._judge, [requests[index] for index in asked], self.concurrency):
            yield asked[place], judgement

    @cached_property
    def _api(self) -> ChatApi:
        return ChatApi(self.model, self.api_base, self.key_env, self.timeout, self.max_retries)

    async def _judge(self, request: JudgeRequest) -> Judgement:
        reply = await self._api.ask(
            messages(request),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            response_format=RESPONSE_FORMAT if self.structured else None,
        )
        return judgement_of(reply)


def judgement_of(reply: Reply | Failure) -> Judgement:
    """The judgement that a reply, or the lack of one, amounts to."""
    if isinstance(reply, Failure):
        return _missing(f"no judgement: {reply.reason}", transient=reply.transient)
    if reply.refusal is not None:
        return _missing(f"the judge refused: {reply.refusal}", cost_usd=reply.cost_usd)
    if reply.finish_reason == "content_filter":
        return _missing("the judge's reply was stopped by a content filter", cost_usd=reply.cost_usd)
    behaviour, coherence, analysis = read_scores(reply.text)
    if reply.finish_reason == "length" and behaviour.value is None and coherence.value is None:
        return _missing("the judge's reply was cut off: raise judge.max_tokens", cost_usd=reply.cost_usd)
    return Judgement(behaviour, coherence, analysis or reply.text, reply.cost_usd)


def _missing(reason: str, *, cost_usd: float | None = None, transient: bool = False) -> Judgement:
    score = Score(None, reason)
    return Judgement(score, score, cost_usd=cost_usd, transient=transient)
