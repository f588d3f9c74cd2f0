"""Gets judgements by content key: from the store where they are known, else from the judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mindgap.core.errors import MindgapError
from mindgap.core.keys import content_key
from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.judges.base import Budgeted, Judge
from mindgap.storage.fetch import OnDone, fetch
from mindgap.storage.store import Store


def judgement_key(judge: Judge, request: JudgeRequest) -> str:
    """Content key of a judgement: the judge's identity and all that it is shown."""
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
    """A judgement for every request, by `judgement_key`. One that failed on the way is asked for again next time.

    Args:
        requests: What is judged.
        judge: Who judges.
        store: Where judgements are kept.
        on_done: Told of each judgement.
    """
    return judgements_by_key({judgement_key(judge, request): request for request in requests}, judge, store, on_done)


def judgements_by_key(
    requests: Mapping[str, JudgeRequest], judge: Judge, store: Store, on_done: OnDone[Judgement] | None = None
) -> dict[str, Judgement]:
    """The same for requests whose `judgement_key` is known: it is a hash of all that a judge is shown."""
    keyed = [_Judged(key, request) for key, request in requests.items()]

    def known_judgements(keys: Iterable[str]) -> dict[str, Judgement]:
        kept = store.judgements(keys)
        if isinstance(judge, Budgeted):
            for judged in keyed:
                if judged.key in kept and (cost := kept[judged.key].cost_usd):
                    judge.already_paid(judged.request, cost)
        return kept

    return fetch(
        keyed,
        known=known_judgements,
        make=lambda missing: _judged(judge, [judged.request for judged in missing]),
        keep=lambda key, judgement: None if judgement.transient else store.put_judgement(key, judgement),
        on_done=on_done,
    )


def _judged(judge: Judge, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
    """What the judge says of the requests. One of the user's own that raises leaves missing scores, with the reason."""
    left = set(range(len(requests)))
    try:
        for index, judgement in judge.judge(requests):
            if not isinstance(judgement, Judgement):
                raise TypeError(f"judge() must yield (index, Judgement), not a {type(judgement).__name__}")
            left.discard(index)
            yield index, judgement
    except MindgapError:
        raise
    except Exception as error:  # noqa: BLE001  # the seam to a user's own code: the replies must not be lost
        none = Score(None, f"judge {judge.name} failed: {type(error).__name__}: {error}")
        for index in sorted(left):
            yield index, Judgement(none, none, transient=True)


class _Judged:
    """A request to a judge, with its content key."""

    def __init__(self, key: str, request: JudgeRequest) -> None:
        self.key, self.request = key, request
