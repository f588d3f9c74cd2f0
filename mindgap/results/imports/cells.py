"""Turns a recording's samples into cells of a sweep folder, which statistics and reports read like any other."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Judgement, OptionScores, Record
from mindgap.measures.base import declared, measured
from mindgap.measures.estimates import count, estimates
from mindgap.measures.standard import STANDARD
from mindgap.results.cell import CellResult
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.finding import Finding
from mindgap.results.imports.findings import absent_pairs
from mindgap.results.imports.rows import UNSTEERED, CellKey, RecordedSample, Recording
from mindgap.results.imports.scales import as_number
from mindgap.results.imports.table import RecordedTable
from mindgap.results.naming import fitting

NO_ROW = "the recording has no row for it, though other methods have one"
UNKNOWN = "unknown"
"""Finish reason: recordings do not say whether a response was cut off."""


@dataclass(frozen=True)
class NewScores:
    """Another judge's scores of a recording's samples.

    Attributes:
        name: Of that judge.
        judgements: By the sample's place in the recording.
    """

    name: str
    judgements: Mapping[int, Judgement]


def make_cells(
    recording: Recording,
    findings: Sequence[Finding],
    column_map: ColumnMap,
    table: RecordedTable,
    folder: Path,
    *,
    scored: NewScores | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> list[CellResult]:
    """One cell for each (model, method, strength), in order of appearance. Metrics as in any sweep.

    Args:
        recording: Its samples.
        findings: What is wrong with them; counted in the cells.
        column_map: How they were read.
        table: The file they come from.
        folder: Of the sweep.
        scored: Another judge's scores; None = the recorded ones.
        seed: Of the bootstrap.
        resamples: How many.
    """
    cells: dict[CellKey, list[RecordedSample]] = {}
    for sample in recording.samples:
        cells.setdefault(sample.cell, []).append(sample)
    lacking = absent_pairs(recording.samples) if column_map.absent == "fail" else {}
    judge = scored.name if scored else column_map.judge
    measures = tuple(declared(measure) for measure in STANDARD)
    names = cell_names(list(cells), scored.name if scored else "")
    reference = _reference(recording, column_map)
    results = []
    for key, samples in cells.items():
        records = [_record(sample, column_map, scored) for sample in samples]
        records += [_absent(key, sample, column_map, judge) for sample in lacking.get(key, ())]
        records = measured(records, STANDARD)
        name = names[key]
        arm = samples[0].arm
        of_cell = [finding for finding in findings if finding.method == samples[0].title]
        found_counts: Counter[str] = Counter()
        for finding in of_cell:
            found_counts[f"found_{finding.kind}"] += finding.count
        results.append(
            CellResult(
                name=name,
                sweep=folder.name,
                model=key.model,
                method=key.method,
                label=arm.title,
                strength=key.strength,
                judge=judge,
                status="finished",
                folder=folder / name,
                dose=dose_of(key),
                config=_settings(key, samples[0], column_map, table, judge, seed, resamples) | reference,
                measures=measures,
                metrics=estimates(records, measures, seed=seed, resamples=resamples),
                counts={**count(records, measures), **found_counts},
                records=tuple(records),
            )
        )
    return results


def cell_names(keys: Sequence[CellKey], judge: str = "") -> dict[CellKey, str]:
    """A folder's name for each cell, never one for two of them, also where case does not count.

    A name from which anything had to be left out gets a hash of the whole, so that it is the same in every import.

    Args:
        keys: The cells.
        judge: Of new scores, whose cells stand beside those with the recorded ones; empty = recorded ones.
    """
    names = {}
    for key in keys:
        strength = key.strength if key.strength != UNSTEERED else ""
        plain = "-".join(part for part in (key.model, key.method, strength, judge) if part)
        names[key] = re.sub(r"[^\w.+-]+", "_", plain)
        if (short := fitting(names[key])) != names[key]:
            names[key] = f"{short}-{_hash(key, judge)}"
        elif names[key] != plain and re.sub(r"[^\w.+-]+", "_", key.strength) != key.strength:
            names[key] += f"-{_hash(key, judge)}"
    taken = Counter(name.casefold() for name in names.values())
    return {key: name if taken[name.casefold()] == 1 else f"{name}-{_hash(key, judge)}" for key, name in names.items()}


def _hash(key: CellKey, judge: str) -> str:
    return content_key("recorded cell", cell=asdict(key), judge=judge)[:6]


def dose_of(key: CellKey) -> float | None:
    """A strength that is a number, in the recording's own unit; None for others, and where nothing is steered."""
    number = None if key.strength == UNSTEERED else as_number(key.strength)
    return number if number is not None and math.isfinite(number) else None


def _reference(recording: Recording, column_map: ColumnMap) -> dict[str, str]:
    """The setting that says what others are compared with, where the map names it."""
    if column_map.reference is None:
        return {}
    wanted = column_map.reference
    arms = {sample.arm.name for sample in recording.samples if wanted in (sample.arm.name, sample.arm.title)}
    arms |= {arm.name for name, arm in column_map.methods.items() if name == wanted}
    if len(arms) != 1:
        there = ", ".join(dict.fromkeys(sample.arm.title for sample in recording.samples))
        raise ConfigError(f"map.reference={wanted}: no method is called so. There are: {there}")
    return {"reference": arms.pop()}


def _record(sample: RecordedSample, column_map: ColumnMap, scored: NewScores | None) -> Record:
    item, answer = sample.item, sample.answer
    judgement = scored.judgements[sample.place] if scored else None
    behaviour = judgement.behaviour if judgement else sample.behaviour
    coherence = judgement.coherence if judgement else sample.coherence
    choice = answer.choice if answer else None
    likeliest, why_none = None, None
    if sample.loglik:
        likeliest, why_none = OptionScores(sample.loglik, (1,) * len(sample.loglik)).likeliest()
    return Record(
        key=_key(sample, sample.cell, column_map.source, sample.response),
        model=sample.cell.model,
        method=sample.cell.method,
        strength=sample.cell.strength,
        dose=dose_of(sample.cell),
        query=sample.query,
        item=item.id,
        subject=item.subject,
        epoch=sample.epoch,
        system_prompt=sample.system_prompt,
        prompt=sample.prompt,
        response=sample.response,
        finish_reason=UNKNOWN,
        prompt_tokens=None,
        completion_tokens=None,
        error=None,
        gold=None if item.gold is None else item.options[item.gold],
        answer=None if choice is None else item.options[choice],
        unparsed=answer.unparsed if answer else None,
        correct=None if answer is None or item.gold is None else choice == item.gold,
        loglik_answer=None if likeliest is None else item.options[likeliest],
        loglik_correct=None if likeliest is None or item.gold is None else likeliest == item.gold,
        option_logprobs=sample.loglik if likeliest is not None else (),
        loglik_missing=why_none,
        judge=scored.name if scored else column_map.judge,
        behaviour=behaviour.value,
        behaviour_missing=behaviour.missing,
        coherence=coherence.value,
        coherence_missing=coherence.missing,
        analysis=judgement.analysis if judgement else _analysis(sample, column_map),
        perplexity=None,
        perplexity_missing="not recorded",
    )


def _analysis(sample: RecordedSample, column_map: ColumnMap) -> str:
    """The judge's own words, and the scores as they were recorded where they were converted."""
    if column_map.scale is None:
        return sample.analysis
    raw = {"behaviour": sample.behaviour_raw, "coherence": sample.coherence_raw}
    told = [
        f"{metric} {text} on {column_map.scales[metric][0]:g}-{column_map.scales[metric][1]:g}"
        for metric, text in raw.items()
        if text is not None
    ]
    return f"{sample.analysis} [recorded: {', '.join(told)}]".lstrip() if told else sample.analysis


def _absent(key: CellKey, other: RecordedSample, column_map: ColumnMap, judge: str) -> Record:
    """The failed sample of `key` that stands for a row the recording does not have; `other` is another method's."""
    blank = replace(other, cell=key, system_prompt="", response="", analysis="", epoch=0, loglik=())
    return replace(
        _record(blank, column_map, None),
        key=_key(blank, key, column_map.source, None),
        finish_reason="error",
        error=NO_ROW,
        judge=judge,
        answer=None,
        unparsed=None,
        correct=None,
        behaviour=None,
        behaviour_missing=NO_ROW,
        coherence=None,
        coherence_missing=NO_ROW,
        perplexity_missing=NO_ROW,
    )


def _key(sample: RecordedSample, cell: CellKey, source: str, response: str | None) -> str:
    return content_key(
        "recorded sample",
        source=source,
        cell=asdict(cell),
        query=sample.query,
        item=sample.item.id,
        epoch=sample.epoch,
        system_prompt=sample.system_prompt,
        prompt=sample.prompt,
        response=response,
    )


def _settings(
    key: CellKey,
    sample: RecordedSample,
    column_map: ColumnMap,
    table: RecordedTable,
    judge: str,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """What a cell's `config.yaml` says, laid out like that of a cell that was run; the map is in `import.json`."""
    return {
        "model": {"name": key.model},
        "method": {"name": key.method, "label": sample.arm.title},
        "strength": {"label": key.strength},
        "task": {"name": column_map.task},
        "judge": {"name": judge},
        "backend": {"name": "replay"},
        "seed": seed,
        "resamples": resamples,
        "recording": table.path.name,
    }
