"""Prints a table on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindgap.presentation.tables import Entry, Table

if TYPE_CHECKING:
    from rich.console import Console


def print_table(console: Console, table: Table, *, names: int = 1) -> None:
    """Print a table with its notes on a rich `console`; nothing in it is read as markup.

    Args:
        console: Where to.
        table: What.
        names: How many columns, from the left, are words and not numbers.
    """
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(title=Text(table.caption), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for position, column in enumerate(table.columns):
        grid.add_column(Text(column), justify="left" if position < names else "right")
    for row in table.rows:
        grid.add_row(*(Text(_shown(entry)) for entry in row))
    console.print(grid)
    for note in table.notes:
        console.print(Text(note, "dim"), soft_wrap=True)


def _shown(entry: Entry) -> str:
    if isinstance(entry, str):
        return entry
    return f"{entry.starred} [{entry.interval.replace(' to ', ', ')}]" if entry.interval else entry.starred
