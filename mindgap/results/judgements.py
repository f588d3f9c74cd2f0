"""Who judged a finished cell, and how: its own judge, judges asked later, and people.

A sweep's own judge is in `samples.parquet`. `python -m mindgap.judge` writes `judgements/<judge>.parquet` beside it,
and people's ratings are lines of `ratings.jsonl` in the sweep's folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindgap.core.errors import MindgapError
from mindgap.core.keys import content_key
from mindgap.core.records import Judgement, JudgeRequest, Record, Score
from mindgap.judges.base import Judge
from mindgap.results.cell import CellResult
from mindgap.results.files import METRICS, SAMPLES
from mindgap.storage.atomic import replacing

JUDGEMENTS = "judgements"
PERSON = "person:"
"""What the name of a judge begins with who is a person."""

Scores = tuple[Score, Score]
"""Behaviour and coherence of one sample."""


def recorded_judgements(
    cell_folder: Path, rated: Mapping[str, Mapping[str, Scores]] | None = None
) -> dict[str, dict[str, Scores]]:
    """Scores by judge and sample key: the sweep's own judge first, then those asked later by name, then people.

    A judge that was asked again under the name of the sweep's own is called `<name> (again)`. People have rated some of
    the samples; their names are `person:<rater>`. Judgements of samples that the cell does not have are left out.
    rated: what `people` says of the sweep, for who reads many cells; None = read it here.
    """
    import pyarrow.parquet as pq

    own: str = json.loads((cell_folder / METRICS).read_text(encoding="utf-8"))["judge"]
    columns = ["key", "behaviour", "behaviour_missing", "coherence", "coherence_missing"]
    found = {own: _scores(pq.read_table(cell_folder / SAMPLES, columns=columns).to_pylist())}
    keys = found[own].keys()
    for path in sorted((cell_folder / JUDGEMENTS).glob("*.parquet")):
        table = pq.read_table(path)
        name = table.schema.metadata[b"judge"].decode()
        scores = _scores(table.to_pylist())
        found[f"{name} (again)" if name == own else name] = {key: scores[key] for key in scores if key in keys}
    for person, ratings in (people(cell_folder.parent) if rated is None else rated).items():
        if mine := {key: ratings[key] for key in ratings if key in keys}:
            found[person] = mine
    return found


def people(sweep_folder: Path) -> dict[str, dict[str, Scores]]:
    """People's ratings by `person:<rater>` and sample key; a rating counts for all samples with that very response."""
    from mindgap.results.cards import cards_of
    from mindgap.results.ratings import read_ratings
    from mindgap.results.sweep import read_sweep

    ratings = read_ratings(sweep_folder)
    if not ratings:
        return {}
    samples = cards_of(read_sweep(sweep_folder)).samples
    found: dict[str, dict[str, Scores]] = {}
    for one in ratings.values():
        if one.behaviour is not None or one.coherence is not None:
            scores = _rating(one.behaviour), _rating(one.coherence)
            found.setdefault(PERSON + one.rater, {}).update(dict.fromkeys(samples.get(one.sample, ()), scores))
    return found


def write_judgements(cell_folder: Path, judge: Judge, judgements: Mapping[str, Judgement]) -> Path:
    """Write a judge's judgements, by sample key, to its file in the cell's folder; returns its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "key": pa.array(judgements.keys(), pa.string()),
        "behaviour": pa.array([one.behaviour.value for one in judgements.values()], pa.float64()),
        "behaviour_missing": pa.array([one.behaviour.missing for one in judgements.values()], pa.string()),
        "coherence": pa.array([one.coherence.value for one in judgements.values()], pa.float64()),
        "coherence_missing": pa.array([one.coherence.missing for one in judgements.values()], pa.string()),
        "analysis": pa.array([one.analysis for one in judgements.values()], pa.string()),
        "cost_usd": pa.array([one.cost_usd for one in judgements.values()], pa.float64()),
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
    left out. Raises MindgapError where the settings no longer give a sample's query or item.
    """
    answered = [record for record in cell.records if record.error is None]
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
    from mindgap.core.build import build

    if "recording" not in cell.config:
        yield from ((item.id, item.question) for item in build(cell.config["task"], "task").load())
        return
    from mindgap.results.imports.items import split_options

    for record in records:
        has_options = record.gold is not None or record.answer is not None or record.unparsed is not None
        yield record.item, split_options(record.prompt)[0] if has_options else record.prompt


def _rubrics(cell: CellResult, records: Sequence[Record]) -> dict[str, str]:
    from mindgap.core.build import build
    from mindgap.tasks.queries import QuerySet

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
