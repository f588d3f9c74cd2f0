"""The models that this process has open: the one in use, and others as long as there is room for them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from mindgap.core.errors import UnavailableError

Opened = TypeVar("Opened")

MOST = 2
"""Models that are kept open: two can be compared without loading either twice."""


class Shelf(Generic[Opened]):
    """Keeps what was opened last; what lay unused for longest goes before another is opened.

    What has changed since it was opened is opened anew. What could not be opened is not tried again as long as nothing
    about it has changed: the cells of a sweep would each load it to meet the same end.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[Hashable, tuple[Hashable, Opened]] = {}
        self._failed: dict[Hashable, tuple[Hashable, str]] = {}

    def get(
        self,
        key: Hashable,
        open_it: Callable[[], Opened],
        *,
        fits: Callable[[], bool] = lambda: True,
        stamp: Callable[[], Hashable] = lambda: None,
    ) -> Opened:
        """What `key` stands for, opened by `open_it` unless it is open.

        Args:
            key: What is to be opened.
            open_it: Opens it.
            fits: Whether there is memory for it now.
            stamp: What it is made of; another one, where opening it may come to something else.

        Raises:
            UnavailableError: That of `open_it`, now or when it was tried.
        """
        now = stamp()
        if key in self._open:
            made_of, opened = self._open.pop(key)
            if made_of == now:
                self._open[key] = made_of, opened  # used last
                return opened
            del opened
        if key in self._failed:
            made_of, reason = self._failed[key]
            if made_of == now:
                raise UnavailableError(reason)
        while self._open and (len(self._open) >= self._most or not fits()):
            del self._open[next(iter(self._open))]
            gc.collect()
        try:
            opened = open_it()
        except UnavailableError as error:
            self._failed[key] = now, str(error)
            raise
        self._failed.pop(key, None)
        self._open[key] = stamp(), opened  # opening may have fetched some of it
        return opened

    def __len__(self) -> int:
        return len(self._open)
