"""Recorded responses before a judge of ours: through the store, so that a stop costs nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mindgap.errors import UnavailableError
from mindgap.fetch import judgement_key, judgements
from mindgap.judges.base import Judge
from mindgap.progress import Progress
from mindgap.queries import QuerySet
from mindgap.records import JudgeRequest
from mindgap.replay.cells import Scored
from mindgap.replay.rows import Sample
from mindgap.store import Store


def judge_from(overrides: Sequence[str], folder: Path) -> Judge:
    """The judge that `judge=NAME judge.key=value …` name, as `python -m mindgap` would build it from `folder`.

    Raises ConfigError for one that does not fit, UnavailableError for one that cannot judge here.
    """
    from mindgap.compose import composed
    from mindgap.config import build

    node = composed(overrides, folder)["judge"]
    judge: Judge = build(node, "judge")
    if missing := judge.lacks():
        raise UnavailableError(f"judge={judge.name} cannot run here: it lacks {'; '.join(missing)}")
    return judge


def rejudge(samples: Sequence[Sample], judge: Judge, store: Store, progress: Progress) -> Scored:
    """The judge's scores of every sample. It sees query, rubric, question and response, as in any experiment."""
    texts = dict.fromkeys(sample.query for sample in samples)
    queries = {text: QuerySet("recorded", [text]).queries[0] for text in texts}
    requests = {
        sample.number: JudgeRequest(sample.query, queries[sample.query].rubric, sample.item.question, sample.response)
        for sample in samples
    }
    unique = {judgement_key(judge, request): request for request in requests.values()}
    with progress.counting(f"judging ({judge.name})", len(unique)) as done:
        made = judgements(list(unique.values()), judge, store, lambda _, known: done(known))
    return Scored(judge.name, {number: made[judgement_key(judge, request)] for number, request in requests.items()})
