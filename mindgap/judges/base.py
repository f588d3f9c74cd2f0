"""What a judge is: settings, and a verb that scores responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from mindgap.core.records import Judgement, JudgeRequest


class Judge(Protocol):
    """A judge's settings and its one verb (`conf/judge/*.yaml`)."""

    @property
    def name(self) -> str:
        """Short name for tables, e.g. `gpt-4o-mini` or `proxy`."""

    @property
    def identity(self) -> str:
        """Everything about the judge that can change a score (model, prompt version, settings): part of the key."""

    def lacks(self) -> list[str]:
        """What is missing here to judge, one thing a sentence; empty if it can judge now. Spends nothing."""

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """Score responses. A failure is a missing score with its reason.

        Yields:
            `(index into requests, judgement)` as each is done, in any order.
        """


@runtime_checkable
class Budgeted(Protocol):
    """A judge with a spending limit."""

    def already_paid(self, request: JudgeRequest, usd: float) -> None:
        """Count what a judgement cost that was made earlier and is not made again. To be told before `judge`.

        Args:
            request: What was judged.
            usd: What it cost, in US dollars.
        """
