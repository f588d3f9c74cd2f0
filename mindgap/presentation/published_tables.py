"""Our cells beside published figures, as tables: for pages, papers and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mindgap.analysis.published import Against, Line
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal
from mindgap.presentation.tables import Cell, Direction, Number, Table, number

if TYPE_CHECKING:
    from rich.console import Console

SUSPECT = "†"


def against_tables(against: Against) -> tuple[Table, ...]:
    """Per published model: a table over all queries, and one for each metric query by query."""
    tables = []
    for model in dict.fromkeys(line.published_model for line in against.lines):
        mine = [line for line in against.lines if line.published_model == model]
        metrics = list(dict.fromkeys(line.metric for line in mine))
        notes = (
            f"Published: {against.source}.",
            f"Intervals are ours, 95 %. * = the published figure lies outside. {SUSPECT} = not to be trusted:",
            *_suspects(mine),
            *against.caveats,
            *(f"Not compared: {what}." for what in against.left_out),
        )
        tables.append(_overall(model, [line for line in mine if line.query is None], metrics, notes))
        for metric in metrics:
            of_queries = [line for line in mine if line.metric == metric and line.query is not None]
            if of_queries:
                tables.append(_by_query(model, metric, of_queries))
    return tuple(tables)


def print_against(console: Console, against: Against) -> None:
    """The tables on a rich `console`."""
    from rich.table import Table as Grid

    for table in against_tables(against):
        grid = Grid(title=table.caption, title_justify="left", highlight=False)
        for place, column in enumerate(table.columns):
            grid.add_column(column, justify="left" if place == 0 else "right")
        for row in table.rows:
            grid.add_row(*(cell if isinstance(cell, str) else _plain(cell) for cell in row))
        console.print(grid)
        for note in table.notes:
            console.print(note, markup=False, soft_wrap=True)
    if not against.lines:
        for what in ("None of the cells has a published counterpart.", *against.left_out):
            console.print(what, markup=False, soft_wrap=True)


def _overall(model: str, lines: Sequence[Line], metrics: Sequence[Declaration], notes: tuple[str, ...]) -> Table:
    columns = ["method"]
    for metric in metrics:
        columns += [metric.label, "published", "difference"]
    rows: list[tuple[Cell, ...]] = []
    for cell in dict.fromkeys(line.cell for line in lines):
        mine = {line.metric.name: line for line in lines if line.cell == cell}
        row: list[Cell] = [next(iter(mine.values())).label]
        for metric in metrics:
            line = mine.get(metric.name)
            row += [number(line.ours, metric.digits), *_theirs(line, metric)] if line else ["–", "–", "–"]
        rows.append(tuple(row))
    return Table(
        f"against-{_key(model)}", f"Beside the published figures of {model}", tuple(columns), tuple(rows), notes
    )


def _by_query(model: str, metric: Declaration, lines: Sequence[Line]) -> Table:
    columns = ["query"]
    cells = list(dict.fromkeys(line.cell for line in lines))
    rows: list[tuple[Cell, ...]] = []
    by_place = {(line.query, line.cell): line for line in lines}
    for cell in cells:
        title = next(line.label for line in lines if line.cell == cell)
        columns += [title, "published"]
    for query in dict.fromkeys(line.query for line in lines):
        row: list[Cell] = [str(query)]
        for cell in cells:
            line = by_place.get((query, cell))
            row += [number(line.ours, metric.digits), _theirs(line, metric)[0]] if line else ["–", "–"]
        rows.append(tuple(row))
    caption = f"{metric.label}, query by query, beside the published figures of {model}"
    notes = tuple(_suspects(lines))
    return Table(f"against-{_key(model)}-{metric.name}", caption, tuple(columns), tuple(rows), notes)


def _theirs(line: Line, metric: Declaration) -> tuple[Cell, Cell]:
    """The published figure, marked where it is not to be trusted, and ours minus it."""
    if line.published is None:
        return "–", "–"
    digits = metric.digits if line.query is None else 3 if metric.binary else 1
    shown = decimal(line.published, digits) + (SUSPECT if line.flag else "")
    if line.difference is None:
        return shown, "–"
    direction: Direction = ""
    if line.inside is False and not line.flag:
        direction = "up" if line.difference > 0 else "down"
    return shown, Number(decimal(line.difference, metric.digits, signed=True), direction=direction)


def _suspects(lines: Sequence[Line]) -> list[str]:
    """One sentence for each reason not to trust figures, with the figures."""
    figures: dict[str, list[str]] = {}
    for line in lines:
        if line.flag and line.query is not None:
            figure = f"{line.label.removesuffix(f' {line.strength}')}, {line.query}"
            known = figures.setdefault(line.flag, [])
            known += [figure] if figure not in known else []
    return [f"{SUSPECT} {'; '.join(which)}: {why}." for why, which in figures.items()]


def _key(model: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in model.lower())


def _plain(cell: Number) -> str:
    return f"{cell.main} \\[{cell.interval}]" if cell.interval else cell.starred
