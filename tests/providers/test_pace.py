"""How fast is too fast, and when it is time to stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from statistics import mean
from types import SimpleNamespace

import pytest

from mindgap.providers.pace import LONGEST_WAIT, Breaker, Meter, Pace, asked_to_wait, backoff


def test_no_minute_sees_more_than_the_limit() -> None:
    meter, now, times = Meter(30), 1000.0, []
    for _ in range(100):
        now += meter.take(1, now)
        times.append(now)
    for start in times:
        assert sum(start <= time < start + 60 - 1e-6 for time in times) <= 30
    assert times[-1] - times[0] == pytest.approx(99 * 2), "and it is no slower than it must be"


def test_a_pause_is_not_saved_up_for_a_burst() -> None:
    meter = Meter(60)
    meter.take(1, 0.0)
    assert meter.take(1, 1000.0) == 0
    assert meter.take(1, 1000.0) == pytest.approx(1.0)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, no time passes between two calls."""
    monkeypatch.setattr("mindgap.providers.pace.time", SimpleNamespace(monotonic=lambda: 1000.0))


@pytest.mark.usefixtures("stopped_clock")
def test_tokens_are_booked_by_estimate_and_set_right_by_use() -> None:
    pace = Pace("tokens-test", tokens_per_minute=6000)
    assert pace.wait(100) == 0
    assert pace.wait(100) == pytest.approx(1.0), "100 tokens take a second"
    pace.used(100, 10)
    assert pace.wait(100) == pytest.approx(1.1), "two bookings of 100 and one of 10 that turned out smaller by 90"


@pytest.mark.usefixtures("stopped_clock")
def test_the_slower_of_two_limits_counts() -> None:
    pace = Pace("both-test", requests_per_minute=600, tokens_per_minute=6000)
    pace.wait(500)
    assert pace.wait(1) == pytest.approx(5.0)


@pytest.mark.usefixtures("stopped_clock")
def test_everybody_who_asks_one_model_shares_its_limit() -> None:
    assert Pace("shared-test", requests_per_minute=60).wait(1) == 0
    assert Pace("shared-test", requests_per_minute=60).wait(1) == pytest.approx(1.0)
    assert Pace("another-test", requests_per_minute=60).wait(1) == 0


def test_without_limits_nobody_waits() -> None:
    assert [Pace("free-test").wait(10**9) for _ in range(3)] == [0, 0, 0]


def test_retries_are_spread_over_all_of_a_doubling_span() -> None:
    for attempt, most in ((0, 0.5), (3, 4.0), (50, LONGEST_WAIT)):
        waits = [backoff(attempt) for _ in range(2000)]
        assert 0 <= min(waits) < 0.05 * most
        assert 0.95 * most < max(waits) <= most
        assert mean(waits) == pytest.approx(most / 2, rel=0.1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00"}, 0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_to_wait(headers) == seconds


def test_retry_after_as_a_date() -> None:
    at = datetime.now(UTC) + timedelta(seconds=30)
    assert asked_to_wait({"retry-after": format_datetime(at, usegmt=True)}) == pytest.approx(30, abs=2)
    assert asked_to_wait({"retry-after": format_datetime(at - timedelta(days=1), usegmt=True)}) == 0


def test_only_failures_in_a_row_open_the_breaker_and_only_once() -> None:
    breaker = Breaker(3)
    assert not breaker.failed("a")
    assert not breaker.failed("b")
    breaker.worked()
    assert [breaker.failed(reason) for reason in "cdef"] == [False, False, True, False]
    assert breaker.why == "stopped after 3 failures in a row, the last: e"
