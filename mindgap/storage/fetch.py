"""Gets results by content key: from the store where they are known, else from whoever makes them, saved at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar


class Keyed(Protocol):
    """What has a content key."""

    @property
    def key(self) -> str:
        """Names it by everything that can change its result."""


KeyedRequest = TypeVar("KeyedRequest", bound=Keyed)
Fetched = TypeVar("Fetched")
OnDone = Callable[[str, Fetched, bool], None]
"""Called with each result's key, the result, and whether it came from the store."""


def fetch(
    requests: Sequence[KeyedRequest],
    *,
    known: Callable[[Iterable[str]], dict[str, Fetched]],
    make: Callable[[Sequence[KeyedRequest]], Iterator[tuple[int, Fetched]]],
    keep: Callable[[str, Fetched], None],
    on_done: OnDone[Fetched] | None,
) -> dict[str, Fetched]:
    """A result for every request, by key; equal requests share theirs.

    Args:
        requests: What is asked for.
        known: The results that the store has for some keys.
        make: Makes results, as pairs of an index into its requests and the result, in any order.
        keep: Saves a result under its key, the moment it exists.
        on_done: Told of each result.

    Raises:
        RuntimeError: `make` left a request without a result.
    """
    unique = {request.key: request for request in requests}
    results = known(unique)
    if on_done:
        for key, result in results.items():
            on_done(key, result, True)
    missing = [request for key, request in unique.items() if key not in results]
    if missing:
        for index, result in make(missing):
            key = missing[index].key
            keep(key, result)
            results[key] = result
            if on_done:
                on_done(key, result, False)
    if absent := len(unique) - len(results):
        raise RuntimeError(f"{absent} of {len(unique)} requests were never answered")
    return results
