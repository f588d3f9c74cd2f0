"""Whether a sweep's judges agree, for a terminal, and where they differ most, for a person to look at."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from mindgap.analysis.compute import compare_scores
from mindgap.analysis.judges import judges_compared
from mindgap.core.records import Record
from mindgap.presentation.judge_tables import headline_lines, judge_tables, only_one, reversal_line
from mindgap.presentation.tables import Table
from mindgap.results.judgements import Judgements, read_judgements
from mindgap.results.sweep import Group, Sweep
from mindgap.stats.samples import JUDGED
from mindgap.storage.atomic import replacing

DISAGREEMENTS = "disagreements.csv"
KEPT = 200
"""Disagreements in the file."""
SHOWN = 8
"""Disagreements on the terminal."""


@dataclass(frozen=True)
class Disagreement:
    """One sample and metric that judges differ on, by `apart` points. scores: by judge, of those that gave one."""

    cell: str
    record: Record
    metric: str
    scores: dict[str, float]
    apart: float


def print_summary(console: Console, sweep: Sweep) -> None:
    """Means by judge, agreement, headlines, and the largest disagreements, which also go to `disagreements.csv`."""
    judgements = read_judgements(sweep)
    found: list[Disagreement] = []
    for group in sweep.groups:
        if not group.finished:
            continue
        if len(sweep.groups) > 1:
            console.print(Text(group.title, "bold"))
        comparison = compare_scores(group)
        judges = judges_compared(comparison, judgements)
        if len(judges.views) == 1:
            console.print(only_one(judges, str(sweep.folder)), markup=False, soft_wrap=True)
            continue
        for table in judge_tables(replace(comparison, judges=judges)):
            _print_table(console, table)
        for line in headline_lines(judges):
            console.print(line, markup=False, soft_wrap=True)
        for one in judges.reversals:
            console.print(Text(reversal_line(one), "yellow"), soft_wrap=True)
        found += disagreements(group, judgements)
    if found:
        found.sort(key=lambda one: (-one.apart, one.record.key, one.metric))
        path = write_disagreements(sweep.folder, found[:KEPT])
        _print_disagreements(console, found[:SHOWN])
        console.print(
            f"{len(found[:KEPT])} largest disagreements, with the replies: {path}", markup=False, soft_wrap=True
        )


def disagreements(group: Group, judgements: Judgements) -> list[Disagreement]:
    """Every sample and metric to which two judges or more gave different scores, in no order."""
    found = []
    for cell in group.finished:
        recorded = judgements[cell.name]
        for record in cell.records:
            for place, metric in enumerate(JUDGED):
                given = {
                    name: scores[record.key][place].value for name, scores in recorded.items() if record.key in scores
                }
                known = {name: value for name, value in given.items() if value is not None}
                if len(known) > 1 and (apart := max(known.values()) - min(known.values())) > 0:
                    found.append(Disagreement(group.name(cell), record, metric, known, apart))
    return found


def write_disagreements(folder: Path, found: Sequence[Disagreement]) -> Path:
    """Write them to `disagreements.csv` in the order given; one column a judge, empty where it gave no score."""
    judges = list(dict.fromkeys(name for one in found for name in one.scores))
    columns = ["apart", "metric", "cell", "query", "item", "epoch", *judges, "prompt", "response", "key"]
    path = folder / DISAGREEMENTS
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for one in found:
            names = ("query", "item", "epoch", "prompt", "response", "key")
            of_record = {name: getattr(one.record, name) for name in names}
            head = {"apart": round(one.apart, 3), "metric": one.metric, "cell": one.cell}
            writer.writerow({**head, **of_record, **{name: round(value, 3) for name, value in one.scores.items()}})
    return path


def _print_disagreements(console: Console, found: Sequence[Disagreement]) -> None:
    judges = list(dict.fromkeys(name for one in found for name in one.scores))
    grid = Grid(title="largest disagreements", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in ("metric", *judges, "cell", "query", "reply"):
        grid.add_column(Text(name))
    for one in found:
        scores = [f"{one.scores[name]:.1f}" if name in one.scores else "" for name in judges]
        reply = " ".join(one.record.response.split())
        cells = (one.metric, *scores, one.cell, one.record.query, reply[:60] + "…" * (len(reply) > 60))
        grid.add_row(*map(Text, cells))
    console.print(grid)


def _print_table(console: Console, table: Table) -> None:
    grid = Grid(title=table.caption, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for place, column in enumerate(table.columns):
        grid.add_column(Text(column), justify="right" if place else "left")
    for row in table.rows:
        grid.add_row(*(Text(cell if isinstance(cell, str) else _number(cell.main, cell.interval)) for cell in row))
    console.print(grid)
    for note in table.notes:
        console.print(Text(note, "dim"), soft_wrap=True)


def _number(main: str, interval: str) -> str:
    return f"{main} [{interval.replace(' to ', ', ')}]" if interval else main
