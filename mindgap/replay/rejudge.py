"""Has recorded responses scored by a judge of ours, through the store, so that a stop costs nothing twice."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.core.records import JudgeRequest
from mindgap.judges.base import Judge
from mindgap.judges.fetch import judgement_key, judgements_by_key
from mindgap.results.imports.cells import NewScores
from mindgap.results.imports.rows import RecordedSample
from mindgap.storage.store import Store
from mindgap.study.progress import Progress
from mindgap.tasks.queries import QuerySet


def rejudge(samples: Sequence[RecordedSample], judge: Judge, store: Store, progress: Progress) -> NewScores:
    """The judge's scores of every sample. It sees query, rubric, question and response, as in any experiment."""
    texts = dict.fromkeys(sample.query for sample in samples)
    queries = {text: QuerySet("recorded", [text]).queries[0] for text in texts}
    requests = {
        sample.place: JudgeRequest(sample.query, queries[sample.query].rubric, sample.item.question, sample.response)
        for sample in samples
    }
    keys = {place: judgement_key(judge, request) for place, request in requests.items()}
    unique = {keys[place]: request for place, request in requests.items()}
    with progress.counting(f"judging ({judge.name})", len(unique)) as done:
        by_key = judgements_by_key(unique, judge, store, lambda key, _, known: done(key, known))
    by_place = {place: by_key[key] for place, key in keys.items()}
    return NewScores(judge.name, by_place)
