"""A limit in US dollars to what a judge may cost, which holds however many calls are under way."""

from __future__ import annotations

import asyncio
import os
from dataclasses import astuple
from functools import cache

from mindgap.core.keys import content_key
from mindgap.core.records import JudgeRequest


class Budget:
    """A limit to spending: the highest possible price of a call is set aside before it, the true one booked after.

    `paid_earlier` may be called from any thread while nothing is under way, the rest in the event loop's thread only.

    Attributes:
        usd: The limit, in US dollars.
        spent: What has been spent so far, in US dollars.
    """

    def __init__(self, usd: float) -> None:
        self.usd = usd
        self.spent = 0.0
        self._aside = 0.0
        self._counted: set[str] = set()  # requests whose lasting judgement is in `spent`
        self._changed = asyncio.Condition()

    def paid_earlier(self, request: JudgeRequest, usd: float) -> None:
        """Count what a kept judgement has cost, unless it is counted already: cells of a sweep often share some."""
        key = _key(request)
        if key not in self._counted:
            self._counted.add(key)
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

    async def settle(self, aside: float, request: JudgeRequest, usd: float, *, kept: bool) -> None:
        """Book what asking for a judgement has cost, whatever came of it.

        Args:
            aside: What was set aside for it, in US dollars.
            request: What was judged.
            usd: What it has cost, in US dollars.
            kept: Whether there is a judgement that will be kept. Else the request will be asked, and paid, again.
        """
        async with self._changed:
            left = self._aside - aside
            self._aside = left if left > 1e-12 else 0.0  # sums of prices leave crumbs
            self.spent += usd
            if kept:
                self._counted.add(_key(request))
            self._changed.notify_all()


def budget_of(judge: str, usd: float) -> Budget:
    """The budget that all cells of this process share.

    Args:
        judge: The judge's identity.
        usd: Its limit, in US dollars.
    """
    return _budget(os.getpid(), judge, usd)


@cache
def _budget(pid: int, judge: str, usd: float) -> Budget:
    return Budget(usd)


def _key(request: JudgeRequest) -> str:
    return content_key("paid", request=astuple(request))
