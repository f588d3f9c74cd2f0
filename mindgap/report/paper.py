"""Writes a sweep's tables for a paper: Markdown, and LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.analysis.comparison import GroupComparison
from mindgap.analysis.headline import headline
from mindgap.presentation.group_tables import all_tables
from mindgap.presentation.judge_tables import judge_notices, judge_tables
from mindgap.presentation.tables import latex, markdown, markdown_text
from mindgap.results.sweep import SweepResults


def markdown_report(sweep: SweepResults, comparisons: Sequence[GroupComparison]) -> str:
    """The headline and every table."""
    parts = [f"# {sweep.name}"]
    for group in comparisons:
        parts += [f"## {group.group.title}", headline(group), *(markdown(table) for table in all_tables(group))]
        if group.judges is not None:
            parts += ["### Does the judge matter?", *map(markdown_text, judge_notices(group))]
            parts += [markdown(table) for table in judge_tables(group)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def latex_report(sweep: SweepResults, comparisons: Sequence[GroupComparison]) -> str:
    """Every table as a `table` environment; `\\input` it after `\\usepackage{booktabs}`."""
    parts = ["% Needs \\usepackage{booktabs}. Made by mindgap from comparison.json of the same folder.\n"]
    for number, group in enumerate(comparisons, 1):
        suffix = f"-{number}" if len(comparisons) > 1 else ""
        tables = (*all_tables(group), *judge_tables(group)[:2])
        parts += [latex(table, label=table.key + suffix) for table in tables]
    return "\n".join(parts)
