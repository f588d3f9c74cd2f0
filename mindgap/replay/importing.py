"""Imports one recording: reads it, says what is wrong with it, has it scored if asked to, writes its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from mindgap.core.errors import ConfigError
from mindgap.judges.base import Judge
from mindgap.replay.rejudge import rejudge
from mindgap.results.cell import CellResult
from mindgap.results.imports.cells import make_cells
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.finding import Finding
from mindgap.results.imports.findings import look
from mindgap.results.imports.items import ItemIndex
from mindgap.results.imports.reading import read_recording
from mindgap.results.imports.rows import Recording
from mindgap.results.imports.table import RecordedTable, read_table
from mindgap.results.imports.written import write_import
from mindgap.storage.store import Store
from mindgap.study.progress import Progress


@dataclass(frozen=True)
class Imported:
    """What an import gave.

    Attributes:
        recording: Its samples.
        findings: Everything wrong with it.
        cells: Those that were written.
    """

    recording: Recording
    findings: tuple[Finding, ...]
    cells: tuple[CellResult, ...]


def import_recording(
    file: Path,
    column_map: ColumnMap,
    folder: Path,
    *,
    judge: Judge | None = None,
    store: Path | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    console: Console | None = None,
) -> Imported:
    """Import a recording into a sweep folder.

    Args:
        file: The recording.
        column_map: How to read it.
        folder: Of the sweep.
        judge: Scores all responses anew; None = the recorded scores are taken as they are.
        store: Keeps its judgements; None = `store.sqlite` beside the folder, as for any sweep.
        seed: Of the bootstrap.
        resamples: How many.
        console: Is told what is wrong, before anything is scored.

    Raises:
        ConfigError: The file cannot be read by this map.
        UnavailableError: Something that the map or the judge needs is not here.
    """
    folder = folder.resolve()
    console = console or Console(quiet=True)
    table = read_table(file, pattern=column_map.pattern, rows=column_map.rows, delimiter=column_map.delimiter)
    recording = read_recording(table, column_map, known_items(column_map), scored=judge is None)
    if not recording.samples:
        raise ConfigError(f"{file}: none of its {recording.rows} rows names a query, a method and a prompt")
    findings = look(recording, scored=judge is None)
    print_findings(console, table, recording, findings)
    scored = None
    counts: dict[str, int] = {}
    if judge is not None:
        kept = Store(store or folder.parent / "store.sqlite")
        progress = Progress(console, file.name)
        try:
            scored = rejudge(recording.samples, judge, kept, progress)
        finally:
            kept.close()
        counts = progress.counts
        console.print(
            f"judge: {judge.name}; {counts.get('made', 0)} judged, {counts.get('cached', 0)} known from before"
        )
    cells = make_cells(recording, findings, column_map, table, folder, scored=scored, seed=seed, resamples=resamples)
    written, gone = write_import(folder, cells, findings, recording, column_map, table)
    if gone:
        console.print(f"replaced an earlier import of {file.name}; no longer in it: {', '.join(gone)}", markup=False)
    return Imported(recording, findings, written)


def known_items(column_map: ColumnMap) -> ItemIndex | None:
    """MMLU's items, dev before test, to find the recording's questions among; None if the map asks for no lookup."""
    if column_map.mmlu is None:
        return None
    from mindgap.tasks.mmlu import read_split

    return ItemIndex(item for split in ("dev", "test") for item in read_split(column_map.mmlu, split))


def print_findings(console: Console, table: RecordedTable, recording: Recording, findings: Sequence[Finding]) -> None:
    """Everything found, problems first, with an example of each."""
    samples = recording.samples
    parts = [
        f"{recording.rows} rows",
        f"{len({s.cell for s in samples})} methods",
        f"{len({s.query for s in samples})} queries",
        f"{len({s.item.id for s in samples})} items",
    ]
    problems = sum(finding.severity == "problem" for finding in findings)
    notes = len(findings) - problems
    verdict = f"{problems} problems, {notes} notes" if findings else "nothing was found wrong with it"
    console.print(f"{table.path.name}: {', '.join(parts)}; {verdict}", markup=False, soft_wrap=True)
    if not findings:
        return
    totals: Counter[str] = Counter()
    for finding in findings:
        totals[finding.kind] += finding.count
    console.print(", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in totals.items()), soft_wrap=True)
    grid = Grid("", "method", "samples", "what", highlight=False)
    for finding in findings:
        said = Text(finding.says)
        if finding.examples and (row := finding.examples[0].get("row")):
            file = finding.examples[0].get("file")
            said.append(f" (first: {file}, row {row})" if file else f" (first: row {row})", style="dim")
        bad = finding.severity == "problem"
        counted = f"{finding.count} of {finding.of}"
        grid.add_row(Text("problem", "red") if bad else Text("note", "dim"), finding.method or "all", counted, said)
    console.print(grid)
