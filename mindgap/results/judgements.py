"""Who judged a finished cell, and how: its own judge, judges asked later, and people.

A sweep's own judge is in `samples.parquet`. `python -m mindgap.judge` writes `judgements/<judge>.parquet` beside it,
and people's ratings are lines of `ratings.jsonl` in the sweep's folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mindgap.core.build import build
from mindgap.core.columns import facts
from mindgap.core.errors import MindgapError
from mindgap.core.keys import content_key
from mindgap.core.records import Judgement, JudgeRequest, Record, Score
from mindgap.judges.base import Judge
from mindgap.results.cards import cards_of
from mindgap.results.cell import CellResult
from mindgap.results.imports.items import split_options
from mindgap.results.ratings import read_ratings
from mindgap.results.sweep import SweepResults
from mindgap.stats.samples import JUDGED
from mindgap.storage.atomic import replacing
from mindgap.tasks.queries import QuerySet

JUDGEMENTS = "judgements"
PERSON = "person:"
"""What the name of a judge begins with who is a person."""

Scores = tuple[Score, Score]
"""Behaviour and coherence of one sample."""
Judgements = Mapping[str, Mapping[str, Mapping[str, Scores]]]
"""Scores by the cell's name, judge and sample key."""


def read_judgements(sweep: SweepResults) -> Judgements:
    """Everybody's scores of everything in the sweep, by the cell's name, judge and sample key."""
    ratings = scores_by_person(sweep)
    return {cell.name: recorded_judgements(cell, ratings) for cell in sweep.pooled}


def recorded_judgements(
    cell: CellResult, ratings: Mapping[str, Mapping[str, Scores]]
) -> dict[str, Mapping[str, Scores]]:
    """Scores by judge and sample key: the sweep's own judge first, then those asked later by name, then people.

    A judge that was asked again under the name of the sweep's own is called `<name> (again)`. Judgements of samples
    that the cell does not have are left out.

    Args:
        cell: A finished cell.
        ratings: What `scores_by_person` says of the cell's sweep.
    """
    import pyarrow.parquet as pq

    own = _OwnScores(cell)
    by_judge: dict[str, Mapping[str, Scores]] = {cell.judge: own}
    for path in sorted(path for run in cell.runs for path in (run.folder / JUDGEMENTS).glob("*.parquet")):
        table = pq.read_table(path)
        name = table.schema.metadata[b"judge"].decode()
        scores_by_key = _scores(table.to_pylist())
        judge = f"{name} (again)" if name == cell.judge else name
        there = {key: scores for key, scores in scores_by_key.items() if key in own}
        by_judge[judge] = {**by_judge.get(judge, {}), **there}
    for person, rated_samples in ratings.items():
        if rated := {key: scores for key, scores in rated_samples.items() if key in own}:
            by_judge[person] = rated
    return by_judge


class _OwnScores(Mapping[str, Scores]):
    """Scores by the sweep's own judge, by sample key: of a cell that nobody else has judged they are never read."""

    def __init__(self, cell: CellResult) -> None:
        self._records = cell.records

    @cached_property
    def _by_key(self) -> dict[str, Scores]:
        behaviour, coherence = (
            map(Score, facts(self._records, metric), facts(self._records, f"{metric}_missing")) for metric in JUDGED
        )
        return dict(zip(facts(self._records, "key"), zip(behaviour, coherence, strict=True), strict=True))

    def __getitem__(self, key: str) -> Scores:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)


def scores_by_person(sweep: SweepResults) -> dict[str, dict[str, Scores]]:
    """People's ratings by `person:<rater>` and sample key; a rating counts for all samples with that very response."""
    ratings = read_ratings(sweep.folder)
    if not ratings:
        return {}
    samples = cards_of(sweep).samples
    by_person: dict[str, dict[str, Scores]] = {}
    for rating in ratings.values():
        if rating.behaviour is not None or rating.coherence is not None:
            scores = _rating(rating.behaviour), _rating(rating.coherence)
            keys = samples.get(rating.sample, ())
            by_person.setdefault(PERSON + rating.rater, {}).update(dict.fromkeys(keys, scores))
    return by_person


def write_judgements(cell_folder: Path, judge: Judge, judgements: Mapping[str, Judgement]) -> Path:
    """Write a judge's judgements to its file in the cell's folder.

    Args:
        cell_folder: Where the cell's files are.
        judge: Who judged; the file goes by its name.
        judgements: By sample key.

    Returns:
        The file's path.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "key": pa.array(judgements.keys(), pa.string()),
        "behaviour": pa.array([judgement.behaviour.value for judgement in judgements.values()], pa.float64()),
        "behaviour_missing": pa.array([judgement.behaviour.missing for judgement in judgements.values()], pa.string()),
        "coherence": pa.array([judgement.coherence.value for judgement in judgements.values()], pa.float64()),
        "coherence_missing": pa.array([judgement.coherence.missing for judgement in judgements.values()], pa.string()),
        "analysis": pa.array([judgement.analysis for judgement in judgements.values()], pa.string()),
        "cost_usd": pa.array([judgement.cost_usd for judgement in judgements.values()], pa.float64()),
    }
    path = cell_folder / JUDGEMENTS / _file_name(judge.name)
    path.parent.mkdir(exist_ok=True)
    table = pa.table(columns).replace_schema_metadata({"judge": judge.name, "identity": judge.identity})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return path


def forget_others(cell_folder: Path, judge: Judge) -> None:
    """Remove judgements of a judge of this name that had other settings: in no sweep may the two stand side by side."""
    import pyarrow.parquet as pq

    path = cell_folder / JUDGEMENTS / _file_name(judge.name)
    if path.is_file() and pq.read_schema(path).metadata[b"identity"] != judge.identity.encode():
        path.unlink()


def judge_requests(cell: CellResult) -> dict[str, JudgeRequest]:
    """What a judge is shown of each sample, by sample key: exactly what the sweep's own judge was shown.

    Question and rubric come from the cell's own settings, so the task's data must be here. Samples without a reply are
    left out.

    Raises:
        MindgapError: The settings no longer give a sample's query or item.
    """
    answered = [record for record in cell.records if record.no_reply is None]
    questions = dict(_questions(cell, answered))
    rubrics = _rubrics(cell, answered)
    requests = {}
    for record in answered:
        if record.item not in questions or record.query not in rubrics:
            raise MindgapError(
                f"{cell.folder}: its settings no longer give the query {record.query!r} or the item {record.item}, so "
                "what a judge was shown is not known; are the task's data those of the sweep?"
            )
        requests[record.key] = JudgeRequest(
            record.query, rubrics[record.query], questions[record.item], record.response
        )
    return requests


def _questions(cell: CellResult, records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    if "recording" not in cell.config:
        yield from ((item.id, item.asked) for item in build(cell.config["task"], "task").load())
        return
    for record in records:
        has_options = record.gold is not None or record.answer is not None or record.unparsed is not None
        yield record.item, split_options(record.prompt)[0] if has_options else record.prompt


def _rubrics(cell: CellResult, records: Sequence[Record]) -> dict[str, str]:
    if "recording" not in cell.config:
        return {query.text: query.rubric for query in build(cell.config["query_set"], "query_set", QuerySet).queries}
    texts = dict.fromkeys(record.query for record in records)
    return {text: QuerySet("recorded", [text]).queries[0].rubric for text in texts}


def _scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, Scores]:
    return {
        row["key"]: (
            Score(row["behaviour"], row["behaviour_missing"]),
            Score(row["coherence"], row["coherence_missing"]),
        )
        for row in rows
    }


def _rating(value: int | None) -> Score:
    return Score(None, "not rated") if value is None else Score(float(value))


def _file_name(judge: str) -> str:
    """The judge's name where it can be a file's, else what is left of it and a hash."""
    plain = re.sub(r"[^\w.+=-]+", "_", judge)
    return f"{plain}.parquet" if plain == judge else f"{plain[:80]}-{content_key('judge', name=judge)[:8]}.parquet"
