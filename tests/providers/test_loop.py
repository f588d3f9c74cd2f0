"""Many coroutines from synchronous code: all results, bounded, cleanly closed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mindgap.providers.loop import event_loop, run_each


def test_every_argument_gets_its_own_result_whatever_the_order_of_ending() -> None:
    async def square(x: int) -> int:
        await asyncio.sleep(((x * 7) % 5) * 0.003)
        return x * x

    results = list(run_each(square, range(40), 8))
    assert sorted(results) == [(x, x * x) for x in range(40)]
    assert [index for index, _ in results] != list(range(40)), "results should come as they end"


def test_no_more_than_concurrency_are_under_way_or_waiting_to_be_taken() -> None:
    started = 0

    async def work(x: int) -> int:
        nonlocal started
        started += 1
        return x

    results = run_each(work, range(100), 4)
    for taken in range(1, 21):
        next(results)
        time.sleep(0.005)  # a slow consumer
        assert started <= taken + 4 + 1, "concurrency, and an eighth of it, but at least one"
    results.close()  # type: ignore[attr-defined]


def test_an_exception_reaches_the_caller_and_stops_the_rest() -> None:
    stopped = []

    async def work(x: int) -> int:
        if x == 2:
            raise ZeroDivisionError("programming error")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.append(x)
            raise
        return x

    with pytest.raises(ZeroDivisionError):
        list(run_each(work, range(100), 4))
    assert sorted(stopped) == [0, 1, 3]


def test_closing_early_cancels_what_is_under_way_before_it_returns() -> None:
    under_way = set()

    async def work(x: int) -> int:
        under_way.add(x)
        try:
            await asyncio.sleep(0.001 if x == 0 else 30)
        finally:
            under_way.discard(x)
        return x

    results = run_each(work, range(10), 3)
    assert next(results) == (0, 0)
    results.close()  # type: ignore[attr-defined]
    assert not under_way


def test_one_loop_serves_the_whole_process() -> None:
    async def loop_and_thread(_: int) -> tuple[int, str]:
        return id(asyncio.get_running_loop()), threading.current_thread().name

    seen = {result for _ in range(3) for _, result in run_each(loop_and_thread, range(5), 2)}
    assert seen == {(id(event_loop()), f"mindgap-loop-{os.getpid()}")}


def test_nothing_to_do_and_a_senseless_concurrency() -> None:
    async def work(x: int) -> int:
        return x

    assert list(run_each(work, [], 4)) == []
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        list(run_each(work, [1], 0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_gets_a_loop_that_runs() -> None:
    event_loop()

    async def work(x: int) -> int:
        return x + 1

    child = os.fork()
    if child == 0:
        os._exit(0 if list(run_each(work, [1], 1)) == [(0, 2)] else 1)
    for _ in range(500):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child waits for a loop that nobody runs")


INTERRUPTED = """
import asyncio
from mindgap.providers.loop import run_each
async def work(x):
    print("started", flush=True)
    await asyncio.sleep(60)
try:
    list(run_each(work, range(5), 1))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_the_wait_at_once_and_leaves_no_noise() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
