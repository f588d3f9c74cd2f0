"""What each method does on each task of a sweep that holds several: one table across the tasks' comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from mindgap.analysis.comparison import CellComparison, GroupComparison
from mindgap.core.measurement import Declaration
from mindgap.presentation.group_tables import difference
from mindgap.presentation.tables import Entry, Table, number
from mindgap.results.sweep import by_task, strength_name, task_of


def task_tables(groups: Sequence[GroupComparison]) -> tuple[Table, ...]:
    """A table for every set of groups that differ in their task alone."""
    compared = {group.group.title: group for group in groups}
    sets = by_task([group.group for group in groups if group.finished])
    tables = [_table([compared[group.title] for group in members]) for members in sets]
    return tuple(replace(table, key=f"{table.key}-{number}") for number, table in enumerate(tables, 1))


def _table(groups: Sequence[GroupComparison]) -> Table:
    """Rows: the references' means, then each method's differences. Columns: each task's behaviour and score."""
    columns = [(group, measure) for group in groups for measure in _asked(group)]
    first = " / ".join(dict.fromkeys(group.reference.name for group in groups))
    means = [number(group.reference.cell.metrics.get(m.name), m.digits) for group, m in columns]
    rows: list[tuple[Entry, ...]] = [(f"{first}, mean", *means)]
    for row in dict.fromkeys(chain.from_iterable(_rows(group) for group in groups)):
        entries: list[Entry] = []
        for group, measure in columns:
            comparison = _rows(group).get(row)
            tested = comparison.differences.get(measure.name) if comparison else None
            entries.append(difference(tested, measure))
        rows.append((row, *entries))
    return Table(
        "tasks",
        "What each method does on each task",
        ("cell", *(f"{_task(group)}: {measure.label}" for group, measure in columns)),
        tuple(rows),
        (
            "First row: means without steering. Below: paired differences from it with 95 % intervals, task by task; "
            "starred or coloured: clearly not 0 within its task (Holm).",
        ),
    )


def _rows(group: GroupComparison) -> dict[str, CellComparison]:
    """The compared cells by family and strength, which are the same on every task."""
    named = {}
    for comparison in group.others:
        cell = comparison.cell
        family = group.group.family(cell)
        named[family if cell.strength == "none" else f"{family} ({strength_name(cell)})"] = comparison
    return named


def _asked(group: GroupComparison) -> list[Declaration]:
    """What steering is for, where it was measured, and the task's own score: else how well replies read."""
    measured = [m for m in group.shown if m.name in group.reference.cell.metrics]
    costs = [measure for measure in measured if measure.role == "cost"]
    costs.sort(key=lambda measure: (measure.range == (1, 5), measure.prominence != "primary"))
    behaviour = [m for m in measured if m == group.behaviour]
    return [*behaviour, *costs[:1]]


def _task(group: GroupComparison) -> str:
    return str(task_of(group.reference.cell).get("name", "task"))
