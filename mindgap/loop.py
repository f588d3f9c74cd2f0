"""The process's one asyncio event loop, and a way to use it from ordinary synchronous code.

The loop runs in a daemon thread for as long as the process lives. HTTP clients, litellm's among them, bind their
connections and background tasks to the loop they first meet; a fresh loop for every batch (`asyncio.run`) would leave
those behind, with warnings and leaked sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

Asked = TypeVar("Asked")
Made = TypeVar("Made")

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
    make: Callable[[Asked], Coroutine[Any, Any, Made]], arguments: Sequence[Asked], concurrency: int
) -> Iterator[tuple[int, Made]]:
    """Await `make(argument)` for every argument, and yield `(index of the argument, result)` as each one ends.

    At most `concurrency` results are under way or waiting to be taken at any moment, so a slow consumer is never
    flooded. The first coroutine that raises ends the iteration with its exception. However it ends (exhausted, closed
    early, an exception, Ctrl-C), coroutines under way are cancelled and have stopped before control returns.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    loop = event_loop()
    ended: queue.SimpleQueue[tuple[int, asyncio.Task[Made]]] = queue.SimpleQueue()
    tasks: dict[int, asyncio.Task[Made]] = {}  # touched in the loop's thread only
    unfinished: set[int] = set()
    waiting = iter(enumerate(arguments))

    def start(index: int, argument: Asked) -> None:
        tasks[index] = loop.create_task(make(argument))
        tasks[index].add_done_callback(lambda task: ended.put((index, tasks.pop(index))))

    def start_next(count: int) -> None:
        for index, argument in itertools.islice(waiting, count):
            unfinished.add(index)
            loop.call_soon_threadsafe(start, index, argument)

    try:
        start_next(concurrency)
        while unfinished:
            index, task = ended.get()
            unfinished.discard(index)
            result = task.result()
            start_next(1)
            yield index, result
    finally:
        if unfinished:
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks.values()])
            deadline = time.monotonic() + CLOSING_SECONDS
            with contextlib.suppress(queue.Empty):  # whoever ignores its cancellation for so long is left to the loop
                while unfinished and (left := deadline - time.monotonic()) > 0:
                    unfinished.discard(ended.get(timeout=left)[0])
