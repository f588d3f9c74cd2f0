"""Shows a sweep's cells beside published figures: tables for the page and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mindgap.analysis.published import Against, Line
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal
from mindgap.presentation.tables import Direction, Entry, Number, Table, number
from mindgap.presentation.terminal_tables import print_table

if TYPE_CHECKING:
    from rich.console import Console

SUSPECT = "†"


def against_tables(against: Against) -> tuple[Table, ...]:
    """For each published model, a table over all queries, and for each measure a table query by query."""
    tables = []
    for model in dict.fromkeys(line.published_model for line in against.lines):
        lines = [line for line in against.lines if line.published_model == model]
        measures = list(dict.fromkeys(line.measure for line in lines))
        notes = (
            f"Published: {against.source}.",
            f"Intervals are ours, 95 %. * = the published figure lies outside. {SUSPECT} = not to be trusted:",
            *_suspects(lines),
            *against.caveats,
            *(f"Not compared: {cell_and_reason}." for cell_and_reason in against.left_out),
        )
        tables.append(_overall(model, [line for line in lines if line.query is None], measures, notes))
        for measure in measures:
            query_lines = [line for line in lines if line.measure == measure and line.query is not None]
            if query_lines:
                tables.append(_by_query(model, measure, query_lines))
    return tuple(tables)


def print_against(console: Console, against: Against) -> None:
    """Print the tables on a rich `console`; where there are none, why."""
    for table in against_tables(against):
        print_table(console, table)
    if not against.lines:
        for line in ("None of the cells has a published counterpart.", *against.left_out):
            console.print(line, markup=False, soft_wrap=True)


def _overall(model: str, lines: Sequence[Line], measures: Sequence[Declaration], notes: tuple[str, ...]) -> Table:
    columns = ["method"]
    for measure in measures:
        columns += [measure.label, "published", "difference"]
    rows: list[tuple[Entry, ...]] = []
    for cell in dict.fromkeys(line.cell for line in lines):
        line_by_measure = {line.measure.name: line for line in lines if line.cell == cell}
        row: list[Entry] = [next(iter(line_by_measure.values())).label]
        for measure in measures:
            line = line_by_measure.get(measure.name)
            row += [number(line.ours, measure.digits), *_published(line)] if line else ["–", "–", "–"]
        rows.append(tuple(row))
    return Table(
        f"against-{_key(model)}", f"Beside the published figures of {model}", tuple(columns), tuple(rows), notes
    )


def _by_query(model: str, measure: Declaration, lines: Sequence[Line]) -> Table:
    columns = ["query"]
    cells = list(dict.fromkeys(line.cell for line in lines))
    rows: list[tuple[Entry, ...]] = []
    line_by_query_and_cell = {(line.query, line.cell): line for line in lines}
    for cell in cells:
        title = next(line.label for line in lines if line.cell == cell)
        columns += [title, "published"]
    for query in dict.fromkeys(line.query for line in lines):
        row: list[Entry] = [str(query)]
        for cell in cells:
            line = line_by_query_and_cell.get((query, cell))
            row += [number(line.ours, measure.digits), _published(line)[0]] if line else ["–", "–"]
        rows.append(tuple(row))
    caption = f"{measure.label}, query by query, beside the published figures of {model}"
    notes = tuple(_suspects(lines))
    return Table(f"against-{_key(model)}-{measure.name}", caption, tuple(columns), tuple(rows), notes)


def _published(line: Line) -> tuple[Entry, Entry]:
    """The published figure, marked where it is not to be trusted, and ours minus it."""
    if line.published is None:
        return "–", "–"
    measure = line.measure
    digits = measure.digits if line.query is None else 3 if measure.binary else 1
    shown = decimal(line.published, digits) + (SUSPECT if line.flag else "")
    if line.difference is None:
        return shown, "–"
    direction: Direction = ""
    if line.inside is False and not line.flag:
        direction = "up" if line.difference > 0 else "down"
    return shown, Number(decimal(line.difference, measure.digits, signed=True), direction=direction)


def _suspects(lines: Sequence[Line]) -> list[str]:
    """One sentence for each reason not to trust figures, with the figures."""
    figures: dict[str, list[str]] = {}
    for line in lines:
        if line.flag and line.query is not None:
            figure = f"{line.label.removesuffix(f' {line.strength}')}, {line.query}"
            listed = figures.setdefault(line.flag, [])
            listed += [figure] if figure not in listed else []
    return [f"{SUSPECT} {'; '.join(listed)}: {why}." for why, listed in figures.items()]


def _key(model: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in model.lower())
