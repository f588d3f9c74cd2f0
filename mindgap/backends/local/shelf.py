"""The models that this process has open: the one in use, and others as long as there is room for them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Opened = TypeVar("Opened")

MOST = 2
"""Models that are kept open: two can be compared without loading either twice."""


class Shelf(Generic[Opened]):
    """Keeps what was opened last; what lay unused for longest goes before another is opened.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[Hashable, Opened] = {}

    def get(self, key: Hashable, open_it: Callable[[], Opened], *, fits: Callable[[], bool] = lambda: True) -> Opened:
        """What `key` stands for, opened by `open_it` unless it is open.

        Args:
            fits: Whether there is memory for it now.
        """
        if key in self._open:
            self._open[key] = self._open.pop(key)  # used last
            return self._open[key]
        while self._open and (len(self._open) >= self._most or not fits()):
            del self._open[next(iter(self._open))]
            gc.collect()
        self._open[key] = open_it()
        return self._open[key]

    def __len__(self) -> int:
        return len(self._open)
