"""Gets completions and option scores by content key: from the store where they are known, else from the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mindgap.backends.base import Endpoint
from mindgap.core.records import Completion, OptionScores, OptionsRequest, Request
from mindgap.storage.fetch import OnDone, fetch
from mindgap.storage.store import Store

Asked = TypeVar("Asked", Request, OptionsRequest)
Answered = TypeVar("Answered", Completion, OptionScores)


def completions(
    requests: Sequence[Request], endpoint: Endpoint, store: Store, on_done: OnDone[Completion] | None = None
) -> dict[str, Completion]:
    """A completion for every request, by key. Equal requests are generated once; errors are not kept for next time.

    Args:
        requests: What is asked for.
        endpoint: The model.
        store: Where completions are kept.
        on_done: Told of each completion.
    """
    return fetch(
        requests,
        known=store.completions,
        make=lambda asked: _unless_declined(asked, endpoint.generate, lambda why: Completion("", "error", error=why)),
        keep=lambda key, completion: store.put_completion(key, completion) if completion.error is None else None,
        on_done=on_done,
    )


def option_scores(
    requests: Sequence[OptionsRequest], endpoint: Endpoint, store: Store, on_done: OnDone[OptionScores] | None = None
) -> dict[str, OptionScores]:
    """Log-likelihoods of every request's options, by key.

    Args:
        requests: What is asked for.
        endpoint: The model.
        store: Where scores are kept.
        on_done: Told of each request's scores.
    """
    return fetch(
        requests,
        known=store.option_scores,
        make=lambda asked: _unless_declined(asked, endpoint.loglikelihood, lambda why: OptionScores((), (), why)),
        keep=lambda key, scores: store.put_option_scores(key, scores) if scores.error is None else None,
        on_done=on_done,
    )


def _unless_declined(
    requests: Sequence[Asked],
    make: Callable[[Sequence[Asked]], Iterator[tuple[int, Answered]]],
    refused: Callable[[str], Answered],
) -> Iterator[tuple[int, Answered]]:
    """What `make` makes of the requests, without those that were declined: they get their reason as an error."""
    places = [index for index, request in enumerate(requests) if request.declined is None]
    for index, request in enumerate(requests):
        if request.declined is not None:
            yield index, refused(request.declined)
    if places:
        for place, answer in make([requests[index] for index in places]):
            yield places[place], answer
