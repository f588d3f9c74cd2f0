"""Turns a recording's samples into cells of a sweep folder, which statistics and reports read like any other."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Judgement, Record
from mindgap.measures.base import declared, measured
from mindgap.measures.estimates import count, estimates
from mindgap.measures.standard import STANDARD
from mindgap.results.cell import CellResult
from mindgap.results.files import CONFIG, METRICS_FILE, SAMPLES, read_cell, write_cell, write_summary
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.findings import Finding, absent_pairs
from mindgap.results.imports.rows import CellKey, RecordedSample, Recording
from mindgap.results.imports.table import RecordedTable
from mindgap.storage.atomic import replacing

IMPORTS = "import.json"
NO_ROW = "the recording has no row for it, though other methods have one"
UNKNOWN = "unknown"
"""Finish reason: recordings do not say whether a response was cut off."""


@dataclass(frozen=True)
class NewScores:
    """Another judge's scores of a recording's samples.

    Attributes:
        name: Of that judge.
        judgements: By number of the sample's row.
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
    results = []
    for key, samples in cells.items():
        records = [_record(sample, column_map, scored) for sample in samples]
        records += [_absent(key, sample, column_map, judge) for sample in lacking.get(key, ())]
        records = measured(records, STANDARD)
        parts = [key.model, key.method, key.strength if key.strength != "none" else "", scored.name if scored else ""]
        name = "-".join(part for part in parts if part)
        name = re.sub(r"[^\w.+-]+", "_", name)
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
                config=_settings(key, samples[0], column_map, table, judge, seed, resamples),
                measures=measures,
                metrics=estimates(records, measures, seed=seed, resamples=resamples),
                counts={**count(records, measures), **found_counts},
                records=tuple(records),
            )
        )
    return results


def write_import(
    folder: Path,
    results: Sequence[CellResult],
    findings: Sequence[Finding],
    recording: Recording,
    column_map: ColumnMap,
    table: RecordedTable,
) -> None:
    """Write the cells, `import.json` and the sweep's summary.

    A second import of a file with scores of the same judge replaces the first.

    Args:
        folder: Of the sweep.
        results: The cells.
        findings: What is wrong with the recording.
        recording: Where the cells come from.
        column_map: How it was read.
        table: The file.

    Raises:
        ConfigError: A cell's name is taken by another recording.
    """
    imports = read_imports(folder)
    this = (table.path.name, results[0].judge)
    earlier = imports.pop(this, None)
    taken = {name: entry["file"] for entry in imports.values() for name in entry["cells"]}
    for result in results:
        owned = earlier is not None and result.name in earlier["cells"]
        if result.name in taken or (not owned and (result.folder / METRICS_FILE).exists()):
            whose = taken.get(result.name, "an earlier run")
            raise ConfigError(
                f"{folder} has a cell {result.name} of {whose} already: choose another folder, or map.model=NAME"
            )
    for stale in set(earlier["cells"] if earlier else ()) - {result.name for result in results}:
        for file in (METRICS_FILE, SAMPLES, CONFIG):
            (folder / stale / file).unlink(missing_ok=True)
    for result in results:
        write_cell(result)
    imports[this] = {
        "file": table.path.name,
        "judge": results[0].judge,
        "sha256": table.sha256,
        "rows": recording.rows,
        "samples": len(recording.samples),
        "map": asdict(column_map),
        "cells": [result.name for result in results],
        "findings": [asdict(finding) for finding in findings],
    }
    with replacing(folder / IMPORTS) as path:
        path.write_text(json.dumps({"imports": list(imports.values())}, indent=2, ensure_ascii=False), encoding="utf-8")
    written = sorted(folder.glob(f"*/{METRICS_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    write_summary(folder, [read_cell(path.parent) for path in written])


def read_imports(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What `import.json` in a sweep's folder says, by file name and judge; empty for a sweep without imports."""
    path = folder / IMPORTS
    if not path.is_file():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))["imports"]
    return {(entry["file"], entry["judge"]): entry for entry in entries}


def read_findings(folder: Path) -> tuple[Finding, ...]:
    """Everything found wrong with the recordings imported into a sweep's folder, each once: for reports."""
    findings: list[Finding] = []
    for entry in read_imports(folder).values():
        for saved in entry["findings"]:
            finding = Finding(**{**saved, "examples": tuple(saved["examples"])})
            if finding not in findings:
                findings.append(finding)
    return tuple(findings)


def _record(sample: RecordedSample, column_map: ColumnMap, scored: NewScores | None) -> Record:
    item, answer = sample.item, sample.answer
    judgement = scored.judgements[sample.number] if scored else None
    behaviour = judgement.behaviour if judgement else sample.behaviour
    coherence = judgement.coherence if judgement else sample.coherence
    choice = answer.choice if answer else None
    return Record(
        key=_key(sample, sample.cell, column_map.source, sample.response),
        model=sample.cell.model,
        method=sample.cell.method,
        strength=sample.cell.strength,
        dose=None,
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
        loglik_answer=None,
        loglik_correct=None,
        option_logprobs=(),
        judge=scored.name if scored else column_map.judge,
        behaviour=behaviour.value,
        behaviour_missing=behaviour.missing,
        coherence=coherence.value,
        coherence_missing=coherence.missing,
        analysis=judgement.analysis if judgement else sample.analysis,
        perplexity=None,
        perplexity_missing="not recorded",
    )


def _absent(key: CellKey, other: RecordedSample, column_map: ColumnMap, judge: str) -> Record:
    """The failed sample of `key` that stands for a row the recording does not have; `other` is another method's."""
    blank = replace(other, cell=key, system_prompt="", response="", analysis="", epoch=0)
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
