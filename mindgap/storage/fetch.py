"""Get results by content key: from the store where they are known, else from whoever makes them, saved at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar


class Keyed(Protocol):
    @property
    def key(self) -> str: ...


Asked = TypeVar("Asked", bound=Keyed)
Made = TypeVar("Made")
OnDone = Callable[[str, Made, bool], None]
"""Called with each result's key, the result, and whether it came from the store."""


def fetch(
    requests: Sequence[Asked],
    *,
    known: Callable[[Iterable[str]], dict[str, Made]],
    make: Callable[[Sequence[Asked]], Iterator[tuple[int, Made]]],
    keep: Callable[[str, Made], None],
    on_done: OnDone[Made] | None,
) -> dict[str, Made]:
    unique = {request.key: request for request in requests}
    results = known(unique)
    if on_done:
        for key, result in results.items():
            on_done(key, result, True)
    missing = [request for key, request in unique.items() if key not in results]
    if missing:
        for index, made in make(missing):
            key = missing[index].key
            keep(key, made)
            results[key] = made
            if on_done:
                on_done(key, made, False)
    if absent := len(unique) - len(results):
        raise RuntimeError(f"{absent} of {len(unique)} requests were never answered")
    return results
