"""How fast a provider may be asked, how long to wait after a failure, and when to stop asking."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache

FIRST_WAIT = 0.5
"""Seconds. The longest wait before the first retry; doubled for each further one."""

LONGEST_WAIT = 60.0
"""Seconds. No retry waits longer, and a server that asks for more than this is given up on."""


class Meter:
    """Spaces uses out evenly, so that no minute sees more than `per_minute` of them, not even at the start."""

    def __init__(self, per_minute: float) -> None:
        self._seconds_each = 60.0 / per_minute
        self._free_at = 0.0

    def take(self, amount: float, now: float) -> float:
        """Book uses.

        Args:
            amount: How many.
            now: Seconds on the clock.

        Returns:
            Seconds to wait before they may begin.
        """
        start = max(now, self._free_at)
        self._free_at = start + amount * self._seconds_each
        return start - now

    def correct(self, amount: float) -> None:
        """Book `amount` more after the fact; less if negative."""
        self._free_at += amount * self._seconds_each


@dataclass(frozen=True)
class Pace:
    """Limits of one model at one provider, whoever in this process asks it.

    Tokens are booked before a call by an estimate of all that it can use, and set right by what it did use.

    Attributes:
        provider: Names model and provider.
        requests_per_minute: Most of them; None = no limit.
        tokens_per_minute: Most of them; None = no limit.
    """

    provider: str
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def wait(self, tokens: int) -> float:
        """Book one request of `tokens`; returns the seconds to wait before it is sent."""
        now = time.monotonic()
        waits = [meter.take(amount, now) for meter, amount in ((self._requests, 1), (self._tokens, tokens)) if meter]
        return max(waits, default=0.0)

    def used(self, estimated: int, tokens: int | None) -> None:
        """Set right what was booked for a call that is done.

        Args:
            estimated: Tokens that were booked.
            tokens: Tokens that were used; None where the provider did not say.
        """
        if self._tokens and tokens is not None:
            self._tokens.correct(tokens - estimated)

    @property
    def _requests(self) -> Meter | None:
        return self._meter("requests", self.requests_per_minute)

    @property
    def _tokens(self) -> Meter | None:
        return self._meter("tokens", self.tokens_per_minute)

    def _meter(self, unit: str, per_minute: float | None) -> Meter | None:
        return None if per_minute is None else _meter(os.getpid(), self.provider, unit, per_minute)


@cache
def _meter(pid: int, provider: str, unit: str, per_minute: float) -> Meter:
    """One meter a process, so that the cells of a sweep share it; used in the event loop's thread only."""
    return Meter(per_minute)


class Breaker:
    """Stops the asking once `limit` calls in a row have failed for good.

    Attributes:
        why: Why nothing is asked any more; None while things work.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failed = 0
        self.why: str | None = None

    def failed(self, reason: str) -> bool:
        """Count a failure; True if it is the one that opens the breaker."""
        self._failed += 1
        if self._failed < self._limit or self.why:
            return False
        self.why = f"stopped after {self._failed} failures in a row, the last: {reason}"
        return True

    def worked(self) -> None:
        """Count a success: what failed before is forgotten."""
        self._failed = 0


def backoff(attempt: int) -> float:
    """Seconds before retry `attempt` (from 0): anything up to a limit that doubles, all equally likely.

    Calls that failed together come back spread out ("full jitter": M. Brooker, Exponential Backoff And Jitter, 2015).
    """
    return random.uniform(0.0, min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt))


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply asks to wait for, as a number or as a date (RFC 9110, 10.2.3); None where it does not.

    Args:
        headers: Of the reply, names in lower case.
    """
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]*)?", asked):
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, OverflowError):  # neither a number nor a date, or a date that no clock can show
        return None
