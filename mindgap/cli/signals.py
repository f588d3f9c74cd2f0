"""An end by Ctrl-C or SIGTERM that is the same at every moment: exit code 130 or 143, whatever is under way."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 0.05
"""Seconds until an interrupt that was raised where Python ignores exceptions is raised once more."""


_asked: list[int] = []
"""Numbers of the signals that asked this process to end."""


class Stopped(KeyboardInterrupt):
    """The user, or whoever runs this process, wants it to end.

    Attributes:
        code: The exit code that says so: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def give_way(error: Exception) -> None:
    """Raise `Stopped` from `error` if this process was asked to end: what an interrupt meets may make an error of it.

    An import that is broken off does, for one, where a package has something to say about imports that fail.
    """
    if _asked:
        raise Stopped(_asked[-1]) from error


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, Ctrl-C and SIGTERM raise `Stopped` in it; after it they do nothing, so that the end that
    has begun is one.

    An interrupt that meets a destructor or a callback from C is not raised there but ignored by Python: it comes again.
    Outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        _asked.append(number)
        raise Stopped(number)

    def unraisable(said: Any) -> None:
        if isinstance(said.exc_value, Stopped):
            number = said.exc_value.code - 128
            again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        else:
            sys.__unraisablehook__(said)

    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]  # as `nohup` has it
    before = sys.unraisablehook
    _asked.clear()
    for number in SIGNALS:
        if number not in ignored:
            signal.signal(number, stop)
    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        sys.unraisablehook = before
