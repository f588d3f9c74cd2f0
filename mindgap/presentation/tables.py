"""What a table is, and how it is written as Markdown and LaTeX; the page's template makes the HTML."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mindgap.core.characters import printable
from mindgap.core.estimate import Estimate
from mindgap.core.wording import MINUS, decimal

Direction = Literal["up", "down", ""]
NARROW = 5
"""Columns of a table that fits a column of a two-column paper."""


@dataclass(frozen=True)
class Number:
    """A value with its interval, ready to be read.

    Attributes:
        main: The value.
        interval: `low to high`; empty where there is none.
        direction: Which way it clearly differs from nothing; empty where it does not.
    """

    main: str
    interval: str = ""
    direction: Direction = ""

    @property
    def starred(self) -> str:
        """The value, with a star where it clearly differs from nothing."""
        return self.main + ("*" if self.direction else "")


Entry = str | Number
"""What stands where a row and a column of a table meet; "cell" is kept for (model, method, strength)."""


@dataclass(frozen=True)
class Table:
    """A table, ready to be read.

    Attributes:
        key: Unique among a report's tables.
        caption: What it shows.
        columns: Their titles.
        rows: As many entries each; the first names the row.
        notes: How to read it.
    """

    key: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()


def number(estimate: Estimate | None, digits: int, *, signed: bool = False, direction: Direction = "") -> Number:
    """An estimate as people read it; a dash where there is none.

    Args:
        estimate: The value with its interval.
        digits: Decimals.
        signed: Whether a positive value has a plus sign.
        direction: Which way it clearly differs from nothing.
    """
    if estimate is None or estimate.value is None:
        return Number("–")
    main = decimal(estimate.value, digits, signed=signed)
    if estimate.low is None or estimate.high is None:
        return Number(main, direction=direction)
    low, high = (decimal(bound, digits, signed=signed) for bound in (estimate.low, estimate.high))
    return Number(main, f"{low} to {high}", direction)


def markdown(table: Table) -> str:
    """A GitHub table with its caption above and notes below."""
    lines = [f"**{markdown_text(table.caption)}**", ""]
    lines.append("| " + " | ".join(markdown_text(column) for column in table.columns) + " |")
    lines.append("|" + "|".join([":--", *["--:"] * (len(table.columns) - 1)]) + "|")
    for row in table.rows:
        lines.append("| " + " | ".join(_markdown_entry(entry) for entry in row) + " |")
    return "\n".join([*lines, "", *(f"{markdown_text(note)}\n" for note in table.notes)])


def html_table(table: Table) -> str:
    """An HTML table for a notebook, notes below. Nothing in it is taken for markup."""

    def shown(entry: Entry) -> str:
        if isinstance(entry, str):
            return html.escape(entry)
        interval = f" <small>[{html.escape(entry.interval)}]</small>" if entry.interval else ""
        return f"{html.escape(entry.starred)}{interval}"

    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{shown(entry)}</td>" for entry in row) + "</tr>" for row in table.rows)
    notes = "".join(f"<p><small>{html.escape(note)}</small></p>" for note in table.notes)
    caption = f"<caption>{html.escape(table.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"


def markdown_text(text: str) -> str:
    """`text` as Markdown that says just that, on one line."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", _on_one_line(text))


def latex(table: Table, *, label: str) -> str:
    """A `table` environment with booktabs rules; needs `\\usepackage{booktabs,graphicx}`.

    It is no wider than a column of text: intervals stand below their values, and what is too wide even so is made
    smaller. A table of more than `NARROW` columns goes over both columns of a two-column paper.

    Args:
        table: The table.
        label: Ends its `tab:` label.
    """
    kind = "table" if len(table.columns) <= NARROW else "table*"
    lines = [
        rf"\begin{{{kind}}}[t]",
        r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}\setlength{\belowcaptionskip}{4pt}",
        rf"  \caption{{{latex_text(' '.join([table.caption + '.', *table.notes]))}}}",
        rf"  \label{{tab:{label}}}",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"    \toprule",
        "    " + " & ".join(_latex_stack(column) for column in table.columns) + r" \\",
        r"    \midrule",
        *("    " + " & ".join(_latex_entry(entry) for entry in row) + r" \\[2pt]" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}}",
        rf"\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"


def _markdown_entry(entry: Entry) -> str:
    if isinstance(entry, str):
        return markdown_text(entry)
    main = entry.starred.replace("*", r"\*")
    return f"{main} [{entry.interval.replace(' to ', ', ')}]" if entry.interval else main


def _latex_entry(entry: Entry) -> str:
    if isinstance(entry, str):
        return _latex_stack(entry, 30, "t", "l")
    main = latex_text(entry.main) + ("*" if entry.direction else "")
    interval = latex_text(entry.interval.replace(" to ", ", "))
    return _latex_lines([main, rf"{{\scriptsize [{interval}]}}"], "t", "r") if interval else main


def _latex_stack(text: str, width: int = 14, place: str = "b", side: str = "r") -> str:
    """A text on as many lines as it needs."""
    lines = textwrap.wrap(_on_one_line(text), width) or [""]
    return latex_text(lines[0]) if len(lines) == 1 else _latex_lines([latex_text(line) for line in lines], place, side)


def _latex_lines(lines: Sequence[str], place: str, side: str) -> str:
    """Lines below each other, of which the first (`t`) or last (`b`) stands on the row's line."""
    stacked = r"\\ ".join(lines)
    return rf"\begin{{tabular}}[{place}]{{@{{}}{side}@{{}}}}{stacked}\end{{tabular}}"


_LATEX = {
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


def latex_text(text: str) -> str:
    """`text` as LaTeX that says just that, on one line."""
    return "".join(_LATEX.get(letter, letter) for letter in _on_one_line(text))


def _on_one_line(text: str) -> str:
    return printable(" ".join(text.split()))
