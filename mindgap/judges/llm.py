"""`judge=llm`: a language model behind an API rates behaviour and coherence."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.judges.empty import EMPTY_RESPONSE
from mindgap.judges.expectation import expected
from mindgap.judges.parsing import CUT_OFF_THINKING, read_scores
from mindgap.judges.prompts import PROMPT_HASH, RatingScale, messages, response_format
from mindgap.judges.votes import joined, voted
from mindgap.providers.budget import Budget, budget_of
from mindgap.providers.chat import ChatApi, Failure, Reply, check_settings, estimated_tokens
from mindgap.providers.loop import run_each
from mindgap.providers.pace import Breaker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LLMJudge:
    """Any model that litellm knows rates behaviour and coherence, analysis first (conf/judge/llm.yaml).

    The key itself is never a field.

    Attributes:
        model: litellm's name for it.
        api_base: Address of an OpenAI-compatible server; None = the provider's own.
        key_env: Name of the environment variable with the key; None = no key needed.
        temperature: Of the judge's replies; 0 = always the likeliest token.
        max_tokens: Longest reply.
        structured: Whether the reply is held to a JSON schema.
        one_request: Whether both scores are asked for in one request, or each in its own.
        top_logprobs: Likeliest tokens, 5 to 20, from whose probabilities a score is averaged; 0 = whole numbers.
        most_outside: Most probability that may lie outside 1 to 5; beyond it the score is missing.
        votes: Replies whose scores are averaged where there are no probabilities.
        concurrency: Requests under way at once.
        requests_per_minute: Most of them; None = no limit.
        tokens_per_minute: Most of them; None = no limit.
        timeout: Seconds per request.
        max_retries: Further tries of a request that failed.
        stop_after: Failures in a row after which nothing is asked any more.
        budget_usd: Most that all cells together may cost, in US dollars; None = no limit.
        usd_per_million: Price of tokens read and of tokens written; None = as in litellm's list.
    """

    model: str = "gpt-4o-mini"
    api_base: str | None = None
    key_env: str | None = "OPENAI_API_KEY"
    temperature: float = 0.0
    max_tokens: int = 500
    structured: bool = True
    one_request: bool = True
    top_logprobs: int = 20
    most_outside: float = 0.1
    votes: int = 1
    concurrency: int = 16
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout: float = 60.0
    max_retries: int = 5
    stop_after: int = 10
    budget_usd: float | None = None
    usd_per_million: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("judge.model is empty: name a model as litellm does, for example gpt-4o-mini")
        for name, least in (("temperature", 0), ("max_tokens", 1), ("votes", 1), ("stop_after", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"judge.{name} must be at least {least}, not {getattr(self, name)}")
        if not (self.top_logprobs == 0 or 5 <= self.top_logprobs <= 20):
            raise ConfigError(f"judge.top_logprobs must be 0, or 5 to 20: 5 scores compete, not {self.top_logprobs}")
        if not 0 <= self.most_outside < 1:
            raise ConfigError(f"judge.most_outside must be at least 0 and below 1, not {self.most_outside}")
        if self.votes > 1 and self.temperature == 0:
            raise ConfigError(f"judge.votes={self.votes} are all alike at judge.temperature=0: set that to 1, say")
        for name in ("requests_per_minute", "tokens_per_minute", "budget_usd"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ConfigError(f"judge.{name} must be above 0, or null for no limit, not {value}")
        if self.usd_per_million is not None and min(self.usd_per_million) < 0:
            raise ConfigError(f"judge.usd_per_million must be two prices of at least 0, not {self.usd_per_million}")
        check_settings("judge", self.api_base, self.concurrency, self.timeout, self.max_retries)

    @property
    def name(self) -> str:
        """See `Judge.name`: the model, and its server where that is not the provider's own."""
        return self._api.identity

    @property
    def identity(self) -> str:
        """See `Judge.identity`: model, server, prompt, decoding and how a score is made of a reply."""
        form = "schema" if self.structured else "text"
        scales = "+".join(self._scales)
        expectation = f"top{self.top_logprobs}-{self.most_outside:g}" if self.top_logprobs else "whole"
        how = f"t{self.temperature:g}/{self.max_tokens}/{form}/{scales}/{expectation}/v{self.votes}"
        return f"llm/{self._api.identity}/{PROMPT_HASH}/{how}"

    @property
    def api_model(self) -> str:
        """What litellm's price list calls the model."""
        return self.model

    @property
    def api_calls(self) -> int:
        """Most requests that one judgement takes."""
        return len(self._scales) * self.votes

    def lacks(self) -> list[str]:
        """What is missing here to judge, one thing a sentence; spends nothing."""
        missing = self._api.lacks("judge")
        if self.budget_usd is not None and self._api.price is None:
            missing.append(f"a price of {self.model} to hold judge.budget_usd to (set judge.usd_per_million)")
        return missing

    def already_paid(self, request: JudgeRequest, usd: float) -> None:
        """See `Budgeted.already_paid`."""
        if self._budget:
            self._budget.paid_earlier(request, usd)

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """See `Judge.judge`. Empty responses are not sent; nor is anything once the budget or the provider fails."""
        asked = [index for index, request in enumerate(requests) if request.response.strip()]
        for index in sorted(set(range(len(requests))) - set(asked)):
            yield index, EMPTY_RESPONSE
        if not asked:
            return
        self._api.prepare()
        judge = partial(self._judge, Breaker(self.stop_after))
        over = False
        for place, judgement in run_each(judge, [requests[index] for index in asked], self.concurrency):
            if not over and judgement.transient and (judgement.behaviour.missing or "").startswith("budget"):
                over = True
                log.warning(
                    "judge=%s: %s; run again with more to judge the rest", self.name, judgement.behaviour.missing
                )
            yield asked[place], judgement

    @cached_property
    def _api(self) -> ChatApi:
        return ChatApi(
            self.model,
            self.api_base,
            self.key_env,
            self.timeout,
            self.max_retries,
            self.requests_per_minute,
            self.tokens_per_minute,
            self.usd_per_million,
        )

    @property
    def _scales(self) -> tuple[RatingScale, ...]:
        return ("both",) if self.one_request else ("behaviour", "coherence")

    @property
    def _budget(self) -> Budget | None:
        return None if self.budget_usd is None else budget_of(self.identity, self.budget_usd)

    async def _judge(self, breaker: Breaker, request: JudgeRequest) -> Judgement:
        if breaker.why:
            return missing(f"no judgement: {breaker.why}", transient=True)
        budget = self._budget
        if budget is None:
            return await self._asked(breaker, request, [])
        dearest = self.votes * sum(self._dearest_reply(request, scale) for scale in self._scales)
        if not await budget.set_aside(dearest):
            left = f"${budget.spent:.4f} of judge.budget_usd={self.budget_usd:g} is spent"
            return missing(f"budget: {left}, and a judgement may take ${dearest:.4f}", transient=True)
        bill: list[float] = []
        kept = False
        try:
            judgement = await self._asked(breaker, request, bill)
            kept = not judgement.transient
        finally:
            await budget.settle(dearest, request, sum(bill), kept=kept)
        return judgement

    async def _asked(self, breaker: Breaker, request: JudgeRequest, bill: list[float]) -> Judgement:
        """The judgement, of one request or several.

        Args:
            bill: Gets what each reply cost, in US dollars.
        """
        parts = []
        for scale in self._scales:
            parts.append(await self._rated(breaker, request, scale, bill))
            if parts[-1].transient:
                return joined(parts[-1:] * len(self._scales), sum((p.cost_usd or 0.0) for p in parts) or None)
        return joined(parts)

    async def _rated(self, breaker: Breaker, request: JudgeRequest, scale: RatingScale, bill: list[float]) -> Judgement:
        """One scale, or both in one: a reply with log-probabilities decides alone, others by vote."""
        votes = []
        for number in range(self.votes):
            reply = await self._api.ask(
                messages(request, scale),
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                response_format=response_format(scale) if self.structured else None,
                logprobs=True if self.top_logprobs else None,
                top_logprobs=self.top_logprobs or None,
                seed=number if self.votes > 1 else None,
            )
            if isinstance(reply, Reply):
                breaker.worked()
                bill.append(self._dearest_reply(request, scale) if reply.cost_usd is None else reply.cost_usd)
            elif reply.transient and breaker.failed(reply.reason):
                log.warning("judge=%s: %s", self.name, breaker.why)
            votes.append(judgement_of(reply, self.most_outside))
            if votes[-1].transient or (isinstance(reply, Reply) and reply.logprobs):
                break
        if votes[-1].transient and (spent := sum(vote.cost_usd or 0.0 for vote in votes)):
            return replace(votes[-1], cost_usd=spent)
        return votes[-1] if len(votes) == 1 or votes[-1].transient else voted(votes)

    def _dearest_reply(self, request: JudgeRequest, scale: RatingScale) -> float:
        """Most that a reply can cost, in US dollars; so much is booked for one that does not say what it cost."""
        read, written = self._api.price or (0.0, 0.0)
        return estimated_tokens(messages(request, scale)) * read + self.max_tokens * written


def judgement_of(reply: Reply | Failure, most_outside: float = 0.1) -> Judgement:
    """The judgement that a reply, or the lack of one, amounts to.

    Args:
        reply: What came of the request.
        most_outside: See `LLMJudge`.
    """
    if isinstance(reply, Failure):
        return missing(f"no judgement: {reply.reason}", transient=reply.transient)
    if reply.refusal is not None:
        return missing(f"the judge refused: {reply.refusal}", cost_usd=reply.cost_usd)
    if reply.finish_reason == "content_filter":
        return missing("the judge's reply was stopped by a content filter", cost_usd=reply.cost_usd)
    if reply.logprobs_fault is not None:
        reason = f"{reply.logprobs_fault}; judge.top_logprobs=0 does without them"
        return missing(reason, cost_usd=reply.cost_usd)
    try:
        behaviour, coherence, analysis = read_scores(reply.text)
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:  # one reply stops no cell
        return missing(f"the judge's reply cannot be read ({type(error).__name__}: {error})", cost_usd=reply.cost_usd)
    if behaviour.missing == CUT_OFF_THINKING or (not reply.text.strip() and reply.thought):
        return missing(f"{CUT_OFF_THINKING}: raise judge.max_tokens", cost_usd=reply.cost_usd)
    if reply.finish_reason == "length" and behaviour.value is None and coherence.value is None:
        return missing("the judge's reply was cut off: raise judge.max_tokens", cost_usd=reply.cost_usd)
    analysis = analysis or reply.text
    if reply.logprobs:
        whole = {"behaviour": behaviour, "coherence": coherence}
        behaviour, coherence = (expected(name, score, reply.logprobs, most_outside) for name, score in whole.items())
        whole_numbers = ", ".join(f"{name} {score.value:g}" for name, score in whole.items() if score.value is not None)
        analysis += f" [whole numbers: {whole_numbers}]" if whole_numbers else ""
    return Judgement(behaviour, coherence, analysis, reply.cost_usd)


def missing(reason: str, *, cost_usd: float | None = None, transient: bool = False) -> Judgement:
    """A judgement without scores.

    Args:
        reason: Why there are none.
        cost_usd: What it cost all the same; None = unknown.
        transient: Whether asking again may help.
    """
    score = Score(None, reason)
    return Judgement(score, score, cost_usd=cost_usd, transient=transient)
