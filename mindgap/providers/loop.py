"""The process's one asyncio event loop, and a way to use it from ordinary synchronous code.

The loop runs in a daemon thread for as long as the process lives. HTTP clients, litellm's among them, bind their
connections and background tasks to the loop they first meet; a fresh loop for every batch (`asyncio.run`) would leave
those behind, with warnings and leaked sockets.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import cache, partial
from typing import Any, TypeVar

Argument = TypeVar("Argument")
Outcome = TypeVar("Outcome")

CLOSING_SECONDS = 5.0
"""How long `run_each` waits, once it is closed, for cancelled coroutines to end."""

_starting = threading.Lock()


def event_loop() -> asyncio.AbstractEventLoop:
    """The process's event loop, running in its own thread; started by the first call."""
    with _starting:
        return _loop_of(os.getpid())


@cache
def _loop_of(pid: int) -> asyncio.AbstractEventLoop:
    """One loop a process: a forked child inherits the cache but not the thread, so it must not find its parent's."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=f"mindgap-loop-{pid}", daemon=True).start()
    return loop


def run_each(
    make: Callable[[Argument], Coroutine[Any, Any, Outcome]], arguments: Sequence[Argument], concurrency: int
) -> Iterator[tuple[int, Outcome]]:
    """Await `make(argument)` for every argument.

    A few results may wait to be taken (an eighth of `concurrency`); while they do no more are begun, so a slow consumer
    is never flooded. The first coroutine that raises ends the iteration with its exception. However it ends (exhausted,
    closed early, an exception, Ctrl-C), coroutines under way are cancelled and have stopped before control returns.

    Args:
        make: Makes the coroutine.
        arguments: Of `make`, one a coroutine.
        concurrency: Most coroutines under way at any moment.

    Yields:
        `(index of the argument, result)` as each one ends.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    loop = event_loop()
    ended: queue.SimpleQueue[tuple[int, asyncio.Task[Outcome]]] = queue.SimpleQueue()
    waiting = enumerate(arguments)
    tasks: dict[int, asyncio.Task[Outcome]] = {}  # touched in the loop's thread only
    begun = taken = 0
    held_up = False  # whether something is not begun because too many results wait to be taken
    room = concurrency  # for calls under way; none once the iteration is over

    def begin() -> None:
        """Start what may be started. Here and not by the consumer: a call should not wait for another thread's turn."""
        nonlocal begun, held_up
        held_up = True  # before `taken` is read: the consumer then looks at this after it has taken, and wakes the loop
        free = min(room - len(tasks), taken + concurrency + max(1, concurrency // 8) - begun)
        for index, argument in itertools.islice(waiting, max(0, free)):
            begun += 1
            tasks[index] = loop.create_task(make(argument))
            tasks[index].add_done_callback(partial(end, index))
        held_up = len(tasks) < room and begun < len(arguments)

    def end(index: int, task: asyncio.Task[Outcome]) -> None:
        del tasks[index]
        ended.put((index, task))
        if not task.cancelled() and task.exception() is None:
            begin()

    def stop() -> None:
        nonlocal room
        room = 0
        under_way = list(tasks.values())
        for task in under_way:
            task.cancel()
        loop.create_task(_all_ended(under_way, stopped))

    stopped = threading.Event()
    left = len(arguments)
    try:
        loop.call_soon_threadsafe(begin)
        while left:
            index, task = ended.get()
            left -= 1
            result = task.result()
            taken += 1
            if held_up:
                loop.call_soon_threadsafe(begin)
            yield index, result
    finally:
        if left:
            loop.call_soon_threadsafe(stop)
            stopped.wait(CLOSING_SECONDS)  # whoever ignores its cancellation for so long is left to the loop


async def _all_ended(tasks: Sequence[asyncio.Task[Any]], told: threading.Event) -> None:
    if tasks:
        await asyncio.wait(tasks)
    told.set()
