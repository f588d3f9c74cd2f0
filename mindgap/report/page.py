"""Writes `report.html`: one file that needs no network and trusts nothing that it shows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mindgap.analysis.answer import question_in_words
from mindgap.analysis.comparison import GroupComparison
from mindgap.analysis.headline import headline_sentences
from mindgap.analysis.published import Against
from mindgap.analysis.warnings import warnings_of
from mindgap.core.characters import printable
from mindgap.presentation.published_tables import against_tables
from mindgap.presentation.run_tables import cells_table, copyable, run_table, settings_table
from mindgap.presentation.sections import Section, sections
from mindgap.presentation.task_tables import task_tables
from mindgap.report.browser import packed, payload
from mindgap.results.runs import read_runs
from mindgap.results.sweep import SweepResults

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class GroupPart:
    """A group's part of the page.

    Attributes:
        number: 1, 2 …
        title: What sets the group apart.
        question: What is asked of it; may be empty.
        headline: The answer in words.
        more: What else the headline says.
        sections: What the part consists of.
    """

    number: int
    title: str
    question: str
    headline: str
    more: str
    sections: tuple[Section, ...]


def render(
    sweep: SweepResults, comparisons: Sequence[GroupComparison], *, max_samples: int, against: Against | None = None
) -> str:
    """The page as text. Scripts run only if their hash is in the page's own policy, and nothing may be fetched.

    Args:
        sweep: What was run.
        comparisons: Of its groups.
        max_samples: How many samples the page holds to look at.
        against: The cells beside published figures, which come last before the samples.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, finalize=_spelled_out
    )
    groups = []
    for number, group in enumerate(comparisons, 1):
        first, *more = headline_sentences(group)
        shown = sections(group, prefix=f"g{number}-")
        groups.append(GroupPart(number, group.group.title, question_in_words(group), first, " ".join(more), shown))
    if against is not None and (tables := against_tables(against)):
        beside = Section("against", "Published figures", tables=tables)
        groups[-1] = replace(groups[-1], sections=(*groups[-1].sections, beside))
    runs = tuple(run for folder in _folders(sweep) for run in read_runs(folder))
    for number, group in enumerate(comparisons):
        tables = (settings_table(group, runs), cells_table(group))
        was_run = Section(f"g{number + 1}-run", "What was run", tables=((run_table(sweep, runs), *tables)))
        groups[number] = replace(groups[number], sections=(*groups[number].sections, was_run))
    figures = [figure for group in groups for section in group.sections for figure in section.figures]
    samples = payload(sweep, max_samples=max_samples)
    plotly, script = _plotly(), _own("page.js")
    return environment.get_template("page.html").render(
        sweep=sweep,
        about=_about(sweep),
        groups=groups,
        across=task_tables(comparisons),
        warnings=warnings_of(sweep),
        left_out=_left_out(samples),
        footer=_footer(),
        policy=_policy(plotly, script),
        style=Markup(_own("page.css")),
        script=Markup(script),
        plotly=Markup(plotly),
        figures=Markup(_inert_json({figure.key: figure.spec for figure in figures})),
        samples=packed(samples),
        copyable=copyable(sweep, runs),
    )


def _spelled_out(value: Any) -> Any:
    """What turns the direction of writing would turn the numbers beside it, too."""
    return printable(value) if type(value) is str else value  # what is marked up is ours


def _folders(sweep: SweepResults) -> list[Path]:
    """Of the sweeps that the cells are from: one, unless several were put together."""
    return list(dict.fromkeys([sweep.folder, *(cell.folder.parent for cell in sweep.cells)]))


def _policy(*scripts: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _inert_json(data: Any) -> str:
    """JSON in which no `<` is left that could begin a tag or a comment."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _plotly() -> str:
    """Plotly's script as its Python package carries it."""
    from plotly.offline import get_plotlyjs

    return _as_read(get_plotlyjs())


def _own(name: str) -> str:
    return _as_read((HERE / name).read_text(encoding="utf-8"))


def _as_read(text: str) -> str:
    """`text` as a browser sees it within an element, which is what it hashes. ValueError if it would end there."""
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("this script cannot stand in a page: it holds an end of a script element or a comment")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _about(sweep: SweepResults) -> str:
    cells, samples = len(sweep.cells), sum(len(cell.records) for cell in sweep.cells)
    judges = ", ".join(sweep.judges)
    models = ", ".join(dict.fromkeys(cell.model for cell in sweep.cells))
    return f"{cells} {'cell' if cells == 1 else 'cells'}, {samples:,} samples · model {models} · judged by {judges}"


def _left_out(samples: dict[str, Any]) -> str:
    shown, total = len(samples["places"]), samples["total"]
    return "" if shown == total else f"{shown:,} of {total:,} are here, chosen by chance; all are in samples.parquet."


def _footer() -> str:
    from mindgap import __version__

    return f"Made by mindgap {__version__} from the files beside it; comparison.json has every number of this page."
