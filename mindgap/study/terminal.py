"""Prints a study on the terminal: the plan, a line for each finished cell, and the table of a sweep."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text
from rich.tree import Tree

from mindgap.core.characters import printable
from mindgap.core.columns import facts
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.core.secrets import mask_secrets
from mindgap.core.wording import duration, plural
from mindgap.presentation.tables import Table
from mindgap.presentation.terminal_tables import print_table
from mindgap.results.cell import CellResult
from mindgap.results.sweep import SweepResults
from mindgap.study.differing import differing
from mindgap.study.experiment import Experiment
from mindgap.study.forecast import Forecast
from mindgap.study.names import CellName

VERBOSE = "MINDGAP_VERBOSE"
"""Environment variable that `--verbose` sets: all settings are shown."""


def print_plan(
    console: Console, config: Mapping[str, Any], experiments: Sequence[Experiment], cells: int, folder: Path
) -> None:
    """What will run, and the settings that are not the defaults; after `--verbose`, all settings of the first cell."""
    first = experiments[0]
    masked = mask_secrets(dict(config))
    if os.environ.get(VERBOSE):
        tree = Tree(f"mindgap  {folder}", highlight=False)
        _grow(tree, masked)
        console.print(tree, markup=False)
    else:
        told = ", ".join(f"{key} {value}" for key, value in differing(masked).items())
        console.print(f"mindgap  {folder}", markup=False, soft_wrap=True)
        if told:
            console.print(f"with     {told}", markup=False, soft_wrap=True)
    samples = len(first.query_set.queries) * len(first.task.load()) * first.epochs
    merged = len(experiments) - cells
    note = f" ({merged} jobs merged: a strength has no effect on a method that steers nothing)" if merged else ""
    why = getattr(first.judge, "why", "")
    judge = f"judge: {first.judge.name}{f' ({why})' if why else ''}"
    console.print(f"{plural(cells, 'cell')}{note}, {samples} samples each; {judge}", markup=False, soft_wrap=True)


def print_forecast(
    console: Console, experiments: Sequence[Experiment], titles: Sequence[str], forecasts: Sequence[Forecast]
) -> None:
    """What `plan=true` says: a row per cell, the totals, and the smallest differences the design can detect."""
    from mindgap.stats.crossed import said_of
    from mindgap.stats.power import ASSUMED, detectable

    grid = Grid(title="plan: nothing is run", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    grid.add_column("cell")
    for column in ("samples", "replies", "known", "judged", "tokens in", "tokens out", "time", "USD"):
        grid.add_column(column, justify="right")
    for title, cell in zip(titles, forecasts, strict=True):
        about = "~" if cell.every > 1 else ""
        counts = [str(cell.samples), *(f"{about}{count}" for count in (cell.requests, cell.known, cell.judged))]
        tokens = [f"~{cell.prompt_tokens}", f"<{cell.reply_tokens}"]
        price = ["?" if cell.seconds is None else duration(cell.seconds), _money(cell.usd)]
        grid.add_row(Text(title), *counts, *tokens, *price)
    console.print(grid)
    if (every := forecasts[0].every) > 1:
        console.print(f"Of so many samples, one item in {every} was looked at: what is known is an estimate.")
    if any(cell.vectors_missing for cell in forecasts):
        console.print("Steering vectors that are not there yet are made first; what their cells know is not counted.")
    if any(cell.seconds is None for cell in forecasts):
        console.print("No time is given: no cell of this model has run into this outputs folder yet.")
    first = experiments[0]
    queries, items = len(first.query_set.queries), len(first.task.load())
    tests = max(1, len(forecasts) - 1)
    if queries * items < 2:
        return
    asked: dict[str, Any] = {"epochs": first.epochs, "tests": tests * len(ASSUMED), "population": first.population}
    smallest = [detectable(metric, queries, items, **asked) for metric in ASSUMED]
    differences = ", ".join(f"{power.metric} {power.difference:.2g}" for power in smallest)
    given = smallest[0].given
    whose = f", {said_of(given, queries if given == 'queries' else items)}" if given else ""
    console.print(
        f"Smallest difference from the reference found with 80 % power, corrected for {tests * len(ASSUMED)} tests, "
        f"under assumed variances (docs/statistics.md){whose}: {differences}",
        markup=False,
        soft_wrap=True,
    )


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


def print_cell(console: Console, result: CellResult, name: CellName, left: float | None = None) -> None:
    """One line for a finished or failed cell.

    Args:
        console: Where to.
        result: The cell.
        name: What it is called.
        left: Seconds that the rest of the sweep will take; None where that is not known.
    """
    head = f"{name.number} of {name.of}  {name.title}" if name.of > 1 else name.title
    if result.status == "failed":
        reason = printable(result.reason or "")
        console.print(f"failed  {head}: {reason} (see {result.folder / 'run.log'})", markup=False, soft_wrap=True)
        return
    parts = [
        f"{measure.name} {_number(result.metrics[measure.name], measure.digits)}"
        for measure in result.measures
        if measure.prominence == "primary" and measure.name in result.metrics
    ]
    made, cached = result.counts.get("made", 0), result.counts.get("cached", 0)
    parts += [f"{result.counts['samples']} samples", f"{made} made, {cached} cached", f"{result.seconds:.1f} s"]
    parts += [] if left is None else [f"about {duration(left)} left"]
    console.print(f"done    {head}: {', '.join(parts)}", markup=False, soft_wrap=True)


def print_summary(
    console: Console,
    sweep: SweepResults,
    order: Sequence[str] = (),
    tables: Sequence[Table] = (),
    answers: Sequence[str] = (),
) -> None:
    """The sweep's table with intervals, what is missing, and where the files are.

    Args:
        console: Where to.
        sweep: What is shown.
        order: Names of cells in the order of rows; others come first, as they are.
        tables: What is shown beside.
        answers: What the sweep says to its question, a headline a group.
    """
    from mindgap.judges.proxy import share_outside

    here = Path.cwd()
    folder = sweep.folder.relative_to(here) if sweep.folder.is_relative_to(here) else sweep.folder
    places = {name: place for place, name in enumerate(order)}
    results = sorted(sweep.pooled, key=lambda cell: places.get(cell.runs[0].name, -1))
    for judge in sorted({result.judge for result in results}):  # scores of two judges are never in one table
        judged = [result for result in results if result.judge == judge]
        for grid in _grids(sweep, judged, judge, console.width):
            console.print(grid)
        for result in judged:
            for line in _gaps(sweep, result):
                console.print(line, markup=False, soft_wrap=True)
        outside = share_outside([said for result in judged for said in facts(result.records, "analysis") if said])
        for line in [*_intervals_noted(judged), *([f"Judge: {outside}"] if outside else [])]:
            console.print(line, markup=False, soft_wrap=True)
    for table in tables:
        print_table(console, table)
    for answer in answers:
        console.print(f"\n{answer}\n", markup=False)
    lines = {"summary": f"{folder}/summary.csv", "samples": f"{folder}/*/samples.parquet"}
    if (folder / "report.html").is_file():
        lines["report"] = f"{folder}/report.html"
    if list(folder.glob("wandb/offline-run-*")):
        lines["W&B"] = f"kept offline; to upload: wandb sync {folder}/wandb/offline-run-*"
    for what, line in lines.items():
        console.print(f"{what:9}{line}", markup=False, soft_wrap=True)


def _intervals_noted(results: Sequence[CellResult]) -> list[str]:
    """What the intervals' notes say, of the first of the measures that has any; cells differ in decimals alone."""
    for measure in _shown(results):
        for result in results:
            estimate = result.metrics.get(measure.name)
            if estimate is not None and estimate.low is not None and estimate.note:
                return [f"Intervals ({measure.name.replace('_', ' ')}): {estimate.note}"]
    return []


def _shown(results: Sequence[CellResult]) -> list[Declaration]:
    """The measures of the table, those that a sweep asks about first."""
    measures = {measure.name: measure for result in results for measure in result.measures}.values()
    present = [
        measure
        for measure in measures
        if measure.prominence != "detail" and any(measure.name in result.metrics for result in results)
    ]
    return sorted(present, key=lambda measure: measure.prominence != "primary")


def _grids(sweep: SweepResults, results: Sequence[CellResult], judge: str, width: int) -> list[Grid]:
    """The table, as wide as the terminal at most: intervals go below their means, then measures to a next table."""
    measures = _shown(results)
    about = max(len(sweep.family(result)) + len(result.strength) + len(result.model) for result in results) + 12
    across = max(1, (width - about) // 22)
    if len(measures) > across:
        across = max(1, (width - about) // 17)
        parts = [measures[start : start + across] for start in range(0, len(measures), across)]
        return [_grid(sweep, results, judge, part, below=True, last=part is parts[-1]) for part in parts]
    return [_grid(sweep, results, judge, measures, below=False, last=True)]


def _grid(
    sweep: SweepResults,
    results: Sequence[CellResult],
    judge: str,
    measures: Sequence[Declaration],
    *,
    below: bool,
    last: bool,
) -> Grid:
    """A table of means.

    Args:
        sweep: Whose cells they are.
        results: A row each.
        judge: Whose scores they are.
        measures: A column each.
        below: Whether intervals stand below their means.
        last: Whether the judge's price is shown, where it is known.
    """
    grid = Grid(
        title=f"mean [95 % interval], judge: {judge}", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    models = {result.model for result in results}
    for column in (["model"] if len(models) > 1 else []) + ["method", "strength"]:
        grid.add_column(column, no_wrap=not below or column != "method")
    for measure in measures:
        grid.add_column(measure.name.replace("_", "\n"), justify="right", no_wrap=True)
    priced = last and any(result.judge_usd is not None for result in results)
    if priced:
        grid.add_column("judge\nUSD", justify="right")
    for result in results:
        row = [result.model] if len(models) > 1 else []
        row += [sweep.family(result), result.strength]
        if result.status == "failed":
            row += ["failed", *[""] * (len(measures) - 1)]
        else:
            row += [_number(result.metrics.get(measure.name), measure.digits) for measure in measures]
            if priced:
                row.append("?" if result.judge_usd is None else f"{result.judge_usd:.4f}")
        grid.add_row(*(Text(cell.replace(" [", "\n[") if below else cell) for cell in row))
    return grid


def _gaps(sweep: SweepResults, result: CellResult) -> list[str]:
    """What a reader must know about a cell before believing its numbers."""
    head = sweep.family(result) + (f" {result.strength}" if result.strength != "none" else "")
    if result.status == "failed":
        return [f"{head} failed: {result.reason}"]
    named = {"errors": "samples without a reply"}
    named |= {
        f"{measure.name}_missing": f"{measure.name} missing"
        for measure in result.measures
        if measure.prominence != "detail"
    }
    gaps = [f"{result.counts[name]} {what}" for name, what in named.items() if result.counts.get(name)]
    return [f"{head}: {', '.join(gaps)} of {result.counts['samples']}"] if gaps else []


def _number(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return ""
    if estimate.value is None:
        return "missing"
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
