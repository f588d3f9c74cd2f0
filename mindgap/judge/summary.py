"""Prints whether a sweep's judges agree, and writes down where they differ most, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from mindgap.analysis.compute import compare_scores
from mindgap.analysis.disagreements import Disagreement, disagreements
from mindgap.analysis.judges import judges_compared
from mindgap.presentation.judge_tables import judge_headlines, judge_tables, reversal_notice, single_judge_notice
from mindgap.presentation.terminal_tables import print_table
from mindgap.results.judgements import read_judgements
from mindgap.results.sweep import SweepResults
from mindgap.storage.table import write_csv

DISAGREEMENTS = "disagreements.csv"
KEPT = 200
"""Disagreements in the file."""
SHOWN = 8
"""Disagreements on the terminal."""


def print_agreement(console: Console, sweep: SweepResults) -> None:
    """Means by judge, agreement, headlines, and the largest disagreements, which also go to `disagreements.csv`."""
    judgements = read_judgements(sweep)
    several_judges = []
    for group in sweep.groups:
        if not group.finished:
            continue
        if len(sweep.groups) > 1:
            console.print(Text(group.title, "bold"))
        comparison = compare_scores(group)
        judges = judges_compared(comparison, judgements)
        if len(judges.views) == 1:
            console.print(single_judge_notice(judges, str(sweep.folder)), markup=False, soft_wrap=True)
            continue
        several_judges.append(group)
        for table in judge_tables(replace(comparison, judges=judges)):
            print_table(console, table)
        for line in judge_headlines(judges):
            console.print(line, markup=False, soft_wrap=True)
        for reversal in judges.reversals:
            console.print(Text(reversal_notice(reversal), "yellow"), soft_wrap=True)
    if largest := disagreements(several_judges, judgements)[:KEPT]:
        path = _write_disagreements(sweep.folder, largest)
        _print_disagreements(console, largest[:SHOWN])
        console.print(f"{len(largest)} largest disagreements, with the replies: {path}", markup=False, soft_wrap=True)


def _write_disagreements(folder: Path, largest: Sequence[Disagreement]) -> Path:
    """Write them to `disagreements.csv` in the order given; a column for each judge, empty where it gave no score."""
    columns = ["apart", "metric", "cell", "query", "item", "epoch", *_judges(largest), "prompt", "response", "key"]
    path = folder / DISAGREEMENTS
    rows = (
        {
            "apart": round(disagreement.apart, 3),
            "metric": disagreement.metric,
            "cell": disagreement.cell,
            "query": disagreement.record.query,
            "item": disagreement.record.item,
            "epoch": disagreement.record.epoch,
            "prompt": disagreement.record.prompt,
            "response": disagreement.record.response,
            "key": disagreement.record.key,
            **{judge: round(score, 3) for judge, score in disagreement.scores.items()},
        }
        for disagreement in largest
    )
    write_csv(path, columns, rows)
    return path


def _print_disagreements(console: Console, largest: Sequence[Disagreement]) -> None:
    judges = _judges(largest)
    grid = Grid(title="largest disagreements", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for title in ("metric", *judges, "cell", "query", "reply"):
        grid.add_column(Text(title))
    for disagreement in largest:
        scores = [f"{disagreement.scores[name]:.1f}" if name in disagreement.scores else "" for name in judges]
        reply = " ".join(disagreement.record.response.split())
        shortened = reply[:60] + "…" * (len(reply) > 60)
        entries = (disagreement.metric, *scores, disagreement.cell, disagreement.record.query, shortened)
        grid.add_row(*map(Text, entries))
    console.print(grid)


def _judges(largest: Sequence[Disagreement]) -> list[str]:
    return list(dict.fromkeys(name for disagreement in largest for name in disagreement.scores))
