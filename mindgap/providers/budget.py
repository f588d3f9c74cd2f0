"""What a judge has cost, and a limit to it that holds however many calls are under way."""

from __future__ import annotations

import asyncio
import os
from dataclasses import astuple
from functools import cache

from mindgap.core.keys import content_key
from mindgap.core.records import JudgeRequest


class Budget:
    """A limit in US dollars. A call's highest possible price is set aside before it, and its true price booked after.

    `paid` may be told from any thread while nothing is under way; the rest belongs to the event loop's thread.
    """

    def __init__(self, usd: float) -> None:
        self.usd = usd
        self.spent = 0.0
        self._aside = 0.0
        self._paid: set[str] = set()
        self._changed = asyncio.Condition()

    def paid(self, request: JudgeRequest, usd: float) -> None:
        """Count what a judgement has cost, once for equal requests: cells of a sweep often share some."""
        key = content_key("paid", request=astuple(request))
        if key not in self._paid:
            self._paid.add(key)
            self.spent += usd

    async def set_aside(self, usd: float) -> bool:
        """Whether `usd` can still be spent; if so it is set aside. Waits while calls under way may turn out cheaper."""
        async with self._changed:
            while self.spent + self._aside + usd > self.usd:
                if not self._aside:
                    return False
                await self._changed.wait()
            self._aside += usd
            return True

    async def settle(self, aside: float, request: JudgeRequest, usd: float) -> None:
        """Book `usd` for a call that `aside` was set aside for."""
        async with self._changed:
            self._aside = max(0.0, self._aside - aside) if self._aside - aside > 1e-12 else 0.0
            self.paid(request, usd)
            self._changed.notify_all()


def budget_of(judge: str, usd: float) -> Budget:
    """The budget that all cells of this process share. judge: its identity."""
    return _budget(os.getpid(), judge, usd)


@cache
def _budget(pid: int, judge: str, usd: float) -> Budget:
    return Budget(usd)
