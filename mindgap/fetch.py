"""Get results by content key: from the store where they are known, else from whoever makes them, saved at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from mindgap.backends.base import Endpoint
from mindgap.judges.base import Budgeted, Judge
from mindgap.records import Completion, Judgement, JudgeRequest, OptionScores, OptionsRequest, Request, content_key
from mindgap.store import Store


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


Asked = TypeVar("Asked", bound=_Keyed)
Made = TypeVar("Made")
OnDone = Callable[[Made, bool], None]
"""Called with each result and whether it came from the store."""


def completions(
    requests: Sequence[Request], endpoint: Endpoint, store: Store, on_done: OnDone[Completion] | None = None
) -> dict[str, Completion]:
    """A completion for every request, by key. Equal requests are generated once; errors are not kept for next time."""
    return _fetch(
        requests,
        known=store.completions,
        make=endpoint.generate,
        keep=lambda key, completion: store.put_completion(key, completion) if completion.error is None else None,
        on_done=on_done,
    )


def option_scores(
    requests: Sequence[OptionsRequest], endpoint: Endpoint, store: Store, on_done: OnDone[OptionScores] | None = None
) -> dict[str, OptionScores]:
    """Log-likelihoods of every request's options, by key."""
    return _fetch(
        requests, known=store.option_scores, make=endpoint.loglikelihood, keep=store.put_option_scores, on_done=on_done
    )


def judgement_key(judge: Judge, request: JudgeRequest) -> str:
    return content_key(
        "judgement",
        judge=judge.identity,
        query=request.query,
        rubric=request.rubric,
        question=request.question,
        response=request.response,
    )


def judgements(
    requests: Sequence[JudgeRequest], judge: Judge, store: Store, on_done: OnDone[Judgement] | None = None
) -> dict[str, Judgement]:
    """A judgement for every request, by `judgement_key`. One that failed on the way is asked for again next time."""
    asked = [_Judged(judgement_key(judge, request), request) for request in requests]

    def known(keys: Iterable[str]) -> dict[str, Judgement]:
        found = store.judgements(keys)
        if isinstance(judge, Budgeted):
            for one in asked:
                if one.key in found and (cost := found[one.key].cost_usd):
                    judge.already_paid(one.request, cost)
        return found

    return _fetch(
        asked,
        known=known,
        make=lambda missing: judge.judge([one.request for one in missing]),
        keep=lambda key, judgement: None if judgement.transient else store.put_judgement(key, judgement),
        on_done=on_done,
    )


class _Judged:
    def __init__(self, key: str, request: JudgeRequest) -> None:
        self.key, self.request = key, request


def _fetch(
    requests: Sequence[Asked],
    *,
    known: Callable[[Iterable[str]], dict[str, Made]],
    make: Callable[[Sequence[Asked]], Iterator[tuple[int, Made]]],
    keep: Callable[[str, Made], None],
    on_done: OnDone[Made] | None,
) -> dict[str, Made]:
    unique = {request.key: request for request in requests}
    results = known(unique)
    for made in results.values() if on_done else ():
        on_done(made, True)  # type: ignore[misc]
    missing = [request for key, request in unique.items() if key not in results]
    if missing:
        for index, made in make(missing):
            key = missing[index].key
            keep(key, made)
            results[key] = made
            if on_done:
                on_done(made, False)
    if absent := len(unique) - len(results):
        raise RuntimeError(f"{absent} of {len(unique)} requests were never answered")
    return results
