"""Puts imported cells into a sweep's folder beside what is there: an import replaces itself, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.results.cell import CellResult
from mindgap.results.files import CONFIG, METRICS_FILE, SAMPLES, read_cell, write_cell, write_summary
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.finding import Finding
from mindgap.results.imports.rows import Recording
from mindgap.results.imports.table import RecordedTable
from mindgap.storage.atomic import replacing

IMPORTS = "import.json"

Entry = dict[str, Any]
"""What `import.json` says of one import."""


def write_import(
    folder: Path,
    results: Sequence[CellResult],
    findings: Sequence[Finding],
    recording: Recording,
    column_map: ColumnMap,
    table: RecordedTable,
) -> tuple[tuple[CellResult, ...], tuple[str, ...]]:
    """Write the cells, `import.json` and the sweep's summary.

    An import of the same file, or of the same bytes, with scores of the same judge is replaced where the two have a
    cell in common. Another judge's scores of the same responses go into cells of their own, which bear its name.

    Args:
        folder: Of the sweep.
        results: The cells.
        findings: What is wrong with the recording.
        recording: Where the cells come from.
        column_map: How it was read.
        table: The file.

    Returns:
        The cells as they were written, and the names of cells of an earlier import that are gone.

    Raises:
        ConfigError: A cell's name is taken by another recording.
    """
    entries = _entries(folder)
    judge = results[0].judge
    results = _beside_other_judges(folder, results, entries, judge)
    names = {result.name for result in results}
    earlier = [entry for entry in entries if entry["judge"] == judge and _is_again(entry, table, names)]
    kept = [entry for entry in entries if entry not in earlier]
    owned = {name for entry in earlier for name in entry["cells"]}
    taken = {name: entry["file"] for entry in kept for name in entry["cells"]}
    for result in results:
        if result.name in taken or (result.name not in owned and (result.folder / METRICS_FILE).exists()):
            whose = taken.get(result.name, "an earlier run")
            raise ConfigError(
                f"{folder} has a cell {result.name} of {whose} already: choose another folder, or map.model=NAME"
            )
    stale = tuple(sorted(owned - names))
    for name in stale:
        for file in (METRICS_FILE, SAMPLES, CONFIG):
            (folder / name / file).unlink(missing_ok=True)
    for result in results:
        write_cell(result)
    entry = {
        "file": table.path.name,
        "path": str(table.path.resolve()),
        "judge": judge,
        "sha256": table.sha256,
        "rows": recording.rows,
        "samples": len(recording.samples),
        "map": asdict(column_map),
        "cells": [result.name for result in results],
        "findings": [asdict(finding) for finding in findings],
    }
    with replacing(folder / IMPORTS) as path:
        path.write_text(json.dumps({"imports": [*kept, entry]}, indent=2, ensure_ascii=False), encoding="utf-8")
    written = sorted(folder.glob(f"*/{METRICS_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    write_summary(folder, [read_cell(path.parent) for path in written])
    return tuple(results), stale


def read_findings(folder: Path) -> tuple[Finding, ...]:
    """Everything found wrong with the recordings imported into a sweep's folder, each once: for reports."""
    findings: list[Finding] = []
    for entry in _entries(folder):
        for saved in entry["findings"]:
            finding = Finding(**{**saved, "examples": tuple(saved["examples"])})
            if finding not in findings:
                findings.append(finding)
    return tuple(findings)


def _entries(folder: Path) -> list[Entry]:
    """What `import.json` in a sweep's folder says, in the order of the imports; empty for a sweep without any."""
    path = folder / IMPORTS
    if not path.is_file():
        return []
    entries: list[Entry] = json.loads(path.read_text(encoding="utf-8"))["imports"]
    return entries


def _is_again(entry: Entry, table: RecordedTable, names: set[str]) -> bool:
    """Whether an earlier import is of this very recording: nothing else is ever taken away for it.

    The same place with other contents is another recording, unless the two have a cell in common.
    """
    same_place = entry.get("path", entry["file"]) in (str(table.path.resolve()), table.path.name)
    same_bytes = entry["sha256"] == table.sha256
    return (same_place and same_bytes) or ((same_place or same_bytes) and bool(names & set(entry["cells"])))


def _beside_other_judges(
    folder: Path, results: Sequence[CellResult], entries: Sequence[Entry], judge: str
) -> Sequence[CellResult]:
    """The cells, with this judge's name behind those that another judge's scores of the same responses have."""
    others = {name: entry for entry in entries if entry["judge"] != judge for name in entry["cells"]}
    named = []
    for result in results:
        if result.name in others:
            there = read_cell(folder / result.name)
            if {_content(record) for record in there.records}.isdisjoint(_content(record) for record in result.records):
                raise ConfigError(
                    f"{folder} has a cell {result.name} of {others[result.name]['file']} already, of other "
                    "responses, so this is no second judge of the same: choose another folder, or map.model=NAME"
                )
            if {record.key for record in there.records}.isdisjoint(record.key for record in result.records):
                source = others[result.name]["map"]["source"]
                raise ConfigError(
                    f"the cell {result.name} has the same responses from another source: for a second judge of the "
                    f"same say 'map.source={source}'"
                )
            name = re.sub(r"[^\w.+-]+", "_", f"{result.name}-{judge}")
            result = replace(result, name=name, folder=folder / name)
        named.append(result)
    return named


def _content(record: Any) -> tuple[str, str, int, str]:
    return record.query, record.item, record.epoch, record.response
