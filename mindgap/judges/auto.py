"""`judge=auto`: a language model if its key is set here, else the proxy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mindgap.core.records import Judgement, JudgeRequest
from mindgap.judges.llm import LLMJudge
from mindgap.judges.proxy import ProxyJudge


@dataclass(frozen=True)
class AutoJudge:
    """Is one of two judges in every respect: name, identity, scores (conf/judge/auto.yaml).

    The choice depends on the environment alone, so it is the same for all cells of a sweep.

    Attributes:
        llm: Taken where it lacks nothing.
        proxy: Taken otherwise.
    """

    llm: LLMJudge
    proxy: ProxyJudge

    def choose(self) -> LLMJudge | ProxyJudge:
        """The judge that does the work."""
        return self.proxy if self.llm.lacks() else self.llm

    @property
    def why(self) -> str:
        """Why it is this judge, for people."""
        if self.llm.key_env is None:
            return f"judge=auto: {self.llm.name} needs no key"
        if self.llm.lacks():
            return f"judge=auto: {self.llm.key_env} is not set, so {self.llm.name} cannot be asked"
        return f"judge=auto: {self.llm.key_env} is set"

    @property
    def name(self) -> str:
        """See `Judge.name`."""
        return self.choose().name

    @property
    def identity(self) -> str:
        """See `Judge.identity`."""
        return self.choose().identity

    @property
    def api_model(self) -> str | None:
        """The model that is paid for; None for the proxy."""
        return getattr(self.choose(), "api_model", None)

    @property
    def api_calls(self) -> int:
        """Most requests that one judgement takes."""
        return self.llm.api_calls

    def lacks(self) -> list[str]:
        """See `Judge.lacks`."""
        return self.choose().lacks()

    def already_paid(self, request: JudgeRequest, usd: float) -> None:
        """See `Budgeted.already_paid`."""
        if not self.llm.lacks():
            self.llm.already_paid(request, usd)

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """See `Judge.judge`."""
        return self.choose().judge(requests)
