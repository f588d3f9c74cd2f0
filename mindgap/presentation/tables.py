"""Tables: made once, then written as HTML (by the page's template), Markdown or LaTeX."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Literal

from mindgap.core.estimate import Estimate
from mindgap.core.wording import MINUS, decimal

Direction = Literal["up", "down", ""]


@dataclass(frozen=True)
class Number:
    """A value with its interval, ready to be read. direction: where it clearly differs from nothing, else empty."""

    main: str
    interval: str = ""
    direction: Direction = ""

    @property
    def starred(self) -> str:
        return self.main + ("*" if self.direction else "")


Cell = str | Number


@dataclass(frozen=True)
class Table:
    """columns: titles. rows: as many cells each; the first names the row. notes: how to read it."""

    key: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def number(estimate: Estimate | None, digits: int, *, signed: bool = False, direction: Direction = "") -> Number:
    """`estimate` to `digits` decimals; a dash where there is none."""
    if estimate is None or estimate.value is None:
        return Number("–")
    main = decimal(estimate.value, digits, signed=signed)
    if estimate.low is None or estimate.high is None:
        return Number(main, direction=direction)
    low, high = (decimal(bound, digits, signed=signed) for bound in (estimate.low, estimate.high))
    return Number(main, f"{low} to {high}", direction)


def markdown(table: Table) -> str:
    """A GitHub table with its caption above and notes below."""
    lines = [f"**{_md(table.caption)}**", ""]
    lines.append("| " + " | ".join(_md(column) for column in table.columns) + " |")
    lines.append("|" + "|".join([":--", *["--:"] * (len(table.columns) - 1)]) + "|")
    for row in table.rows:
        lines.append("| " + " | ".join(_md_cell(cell) for cell in row) + " |")
    return "\n".join([*lines, "", *(f"{_md(note)}\n" for note in table.notes)])


def html_table(table: Table) -> str:
    """An HTML table for a notebook, notes below. Nothing in it is taken for markup."""

    def shown(entry: Cell) -> str:
        if isinstance(entry, str):
            return html.escape(entry)
        interval = f" <small>[{html.escape(entry.interval)}]</small>" if entry.interval else ""
        return f"{html.escape(entry.starred)}{interval}"

    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{shown(entry)}</td>" for entry in row) + "</tr>" for row in table.rows)
    notes = "".join(f"<p><small>{html.escape(note)}</small></p>" for note in table.notes)
    caption = f"<caption>{html.escape(table.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"


def plain(text: str) -> str:
    """`text` as Markdown that says just that."""
    return _md(text)


def latex(table: Table, *, label: str) -> str:
    """A `table` environment with booktabs rules; needs `\\usepackage{booktabs}`. label: ends its `tab:` label."""
    lines = [
        r"\begin{table}[t]",
        r"  \centering",
        rf"  \caption{{{_tex(' '.join([table.caption + '.', *table.notes]))}}}",
        rf"  \label{{tab:{label}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"    \toprule",
        "    " + " & ".join(_tex(column) for column in table.columns) + r" \\",
        r"    \midrule",
        *("    " + " & ".join(_tex_cell(cell) for cell in row) + r" \\" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _md_cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return _md(cell)
    main = cell.starred.replace("*", r"\*")
    return f"{main} [{cell.interval.replace(' to ', ', ')}]" if cell.interval else main


def _md(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", _one_line(text))


def _tex_cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return _tex(cell)
    main = _tex(cell.main) + ("*" if cell.direction else "")
    interval = _tex(cell.interval.replace(" to ", ", "))
    return rf"{main} {{\footnotesize [{interval}]}}" if interval else main


_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    MINUS: "$-$",
    "–": "--",
    "·": r"\textperiodcentered{}",
    "×": r"$\times$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())
