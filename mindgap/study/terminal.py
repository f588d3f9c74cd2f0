"""What is printed: the plan, a line per finished cell, the table of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mindgap.core.estimate import Estimate
from mindgap.results.cell import CellResult
from mindgap.results.masking import mask_secrets
from mindgap.study.experiment import Experiment
from mindgap.study.forecast import Forecast


def console_for(quiet: bool = False) -> Console:
    """Where a person reads; lines are not folded at 80 columns when nobody's terminal says so."""
    console = Console(highlight=False, quiet=quiet)
    return console if console.is_terminal else Console(highlight=False, quiet=quiet, width=140)


def print_plan(
    console: Console, config: Mapping[str, Any], experiments: Sequence[Experiment], cells: int, folder: Path
) -> None:
    """The resolved configuration as a tree, and what will run."""
    first = experiments[0]
    tree = Tree(f"mindgap  {folder}", highlight=False)
    _grow(tree, mask_secrets(dict(config)))
    console.print(tree, markup=False)
    samples = len(first.query_set.queries) * len(first.task.load()) * first.epochs
    merged = len(experiments) - cells
    note = f" ({merged} jobs merged: a strength has no effect on a method that steers nothing)" if merged else ""
    why = getattr(first.judge, "why", "")
    judge = f"judge: {first.judge.name}{f' ({why})' if why else ''}"
    console.print(f"{cells} {'cell' if cells == 1 else 'cells'}{note}, {samples} samples each; {judge}", markup=False)


def print_forecast(console: Console, experiments: Sequence[Experiment], forecasts: Sequence[Forecast]) -> None:
    """What `plan=true` says: a row per cell, the totals, and the smallest differences the design can detect."""
    from mindgap.stats.power import ASSUMED, detectable

    table = Table(title="plan: nothing is run", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in ("method", "strength"):
        table.add_column(column, no_wrap=True)
    for column in ("samples", "replies", "known", "judged", "tokens in", "tokens out", "time", "USD"):
        table.add_column(column, justify="right")
    for one in forecasts:
        numbers = [one.samples, one.requests, one.known, one.judged, f"~{one.prompt_tokens}", f"<{one.reply_tokens}"]
        table.add_row(one.method, one.strength, *map(str, numbers), _duration(one.seconds), _money(one.usd))
    console.print(table)
    if any(one.vectors_missing for one in forecasts):
        console.print("Steering vectors that are not there yet are made first; what their cells know is not counted.")
    if any(one.seconds is None for one in forecasts):
        console.print("No time is given: no cell of this model has run into this outputs folder yet.")
    first = experiments[0]
    queries, items = len(first.query_set.queries), len(first.task.load())
    tests = max(1, len(forecasts) - 1)
    found = [detectable(metric, queries, items, epochs=first.epochs, tests=tests) for metric in ASSUMED]
    differences = ", ".join(f"{one.metric} {one.difference:.2g}" for one in found)
    console.print(
        f"Smallest difference from the reference found with 80 % power, corrected for {tests} comparisons, under "
        f"assumed variances (docs/statistics.md): {differences}",
        markup=False,
        soft_wrap=True,
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _money(usd: float | None) -> str:
    return "?" if usd is None else f"{usd:.2f}"


def _grow(tree: Tree, node: Any) -> None:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list) and value:
            if isinstance(value, list) and len(value) > 6:
                tree.add(f"{key}: {len(value)} entries", highlight=False)
                continue
            _grow(tree.add(str(key), highlight=False), value)
        else:
            text = str(value)
            tree.add(f"{key}: {text if len(text) <= 100 else text[:97] + '...'}", highlight=False)


def print_cell(console: Console, result: CellResult) -> None:
    """One line for a finished or failed cell."""
    head = head_of(result)
    if result.status == "failed":
        console.print(
            f"failed  {head}: {result.reason} (see {result.folder / 'run.log'})", markup=False, soft_wrap=True
        )
        return
    parts = [
        f"{measure.name} {_number(result.metrics[measure.name], measure.digits)}"
        for measure in result.measures
        if measure.prominence == "primary" and measure.name in result.metrics
    ]
    made, cached = result.counts.get("made", 0), result.counts.get("cached", 0)
    parts += [f"{result.counts['samples']} samples", f"{made} made, {cached} cached", f"{result.seconds:.1f} s"]
    console.print(f"done    {head}: {', '.join(parts)}", markup=False, soft_wrap=True)


def print_summary(console: Console, folder: Path, results: Sequence[CellResult]) -> None:
    """The sweep's table with intervals, what is missing, and where the files are."""
    judges = sorted({result.judge for result in results})
    for judge in judges:  # scores of two judges are never in one table
        mine = [result for result in results if result.judge == judge]
        console.print(_table(mine, judge))
        for result in mine:
            for line in _gaps(result):
                console.print(line, markup=False, soft_wrap=True)
        few = sorted({e.note for result in mine for e in result.metrics.values() if "few clusters" in e.note})
        if few:  # the first stands for all: they differ in decimals
            console.print(f"The intervals are wide for a reason: {few[0]}", markup=False, soft_wrap=True)
    lines = {"summary": f"{folder}/summary.csv", "samples": f"{folder}/*/samples.parquet"}
    if (folder / "report.html").is_file():
        lines["report"] = f"{folder}/report.html"
    if list(folder.glob("wandb/offline-run-*")):
        lines["W&B"] = f"kept offline; to upload: wandb sync {folder}/wandb/offline-run-*"
    for what, line in lines.items():
        console.print(f"{what:9}{line}", markup=False, soft_wrap=True)


def _table(results: Sequence[CellResult], judge: str) -> Table:
    measures = {measure.name: measure for result in results for measure in result.measures}.values()
    present = [
        measure
        for measure in measures
        if measure.prominence != "detail" and any(measure.name in result.metrics for result in results)
    ]
    table = Table(
        title=f"mean [95 % interval], judge: {judge}", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    models = {result.model for result in results}
    for column in (["model"] if len(models) > 1 else []) + ["method", "strength"]:
        table.add_column(column, no_wrap=True)
    for metric in present:
        table.add_column(metric.name.replace("_", "\n"), justify="right")
    priced = any(result.judge_usd is not None for result in results)
    if priced:
        table.add_column("judge\nUSD", justify="right")
    for result in results:
        row = [result.model] if len(models) > 1 else []
        row += [result.label, result.strength]
        if result.status == "failed":
            row += ["failed", *[""] * (len(present) - 1)]
        else:
            row += [_number(result.metrics.get(metric.name), metric.digits) for metric in present]
            if priced:
                row.append("?" if result.judge_usd is None else f"{result.judge_usd:.4f}")
        table.add_row(*(Text(cell) for cell in row))
    return table


def _gaps(result: CellResult) -> list[str]:
    """What a reader must know about a cell before believing its numbers."""
    head = head_of(result)
    if result.status == "failed":
        return [f"{head} failed: {result.reason}"]
    named = {"errors": "samples without a reply"}
    named |= {f"{one.name}_missing": f"{one.name} missing" for one in result.measures if one.prominence != "detail"}
    gaps = [f"{result.counts[name]} {what}" for name, what in named.items() if result.counts.get(name)]
    return [f"{head}: {', '.join(gaps)} of {result.counts['samples']}"] if gaps else []


def head_of(result: CellResult) -> str:
    """A cell's label and strength, for one line."""
    return f"{result.label} {result.strength}" if result.strength != "none" else result.label


def _number(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return ""
    if estimate.value is None:
        return "missing"
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
