"""Writes a sweep's tables for a paper: Markdown, and LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.analysis.answer import directly, question_in_words, settling
from mindgap.analysis.comparison import GroupComparison
from mindgap.analysis.headline import headline
from mindgap.analysis.warnings import warnings_of
from mindgap.presentation.group_tables import all_tables
from mindgap.presentation.judge_tables import judge_notices, judge_tables
from mindgap.presentation.question_tables import pair_tables
from mindgap.presentation.tables import latex, latex_text, markdown, markdown_text
from mindgap.presentation.task_tables import task_tables
from mindgap.results.sweep import SweepResults


def markdown_report(sweep: SweepResults, comparisons: Sequence[GroupComparison]) -> str:
    """What to know before any number, the headline and every table."""
    parts = [f"# {sweep.name}"]
    if warnings := warnings_of(sweep):
        parts.append("\n".join(f"- {markdown_text(text)}" for text in warnings))
    parts += [markdown(table) for table in task_tables(comparisons)]
    for group in comparisons:
        said = (question_in_words(group), headline(group), directly(group), *settling(group))
        parts += [f"## {group.group.title}", *map(markdown_text, filter(None, said))]
        parts += [markdown(table) for table in (*all_tables(group), *pair_tables(group))]
        if group.judges is not None:
            parts += ["### Does the judge matter?", *map(markdown_text, judge_notices(group))]
            parts += [markdown(table) for table in judge_tables(group)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def latex_report(sweep: SweepResults, comparisons: Sequence[GroupComparison]) -> str:
    """What to know before any number as a list, and every table as a `table` environment.

    `\\input` it after `\\usepackage{booktabs,graphicx}`.
    """
    parts = ["% Needs \\usepackage{booktabs,graphicx}. Made by mindgap from comparison.json of the same folder.\n"]
    if warnings := warnings_of(sweep):
        parts += [r"\begin{itemize}", *(rf"  \item {latex_text(text)}" for text in warnings), "\\end{itemize}\n"]
    parts += [latex(table, label=table.key) for table in task_tables(comparisons)]
    for number, group in enumerate(comparisons, 1):
        suffix = f"-{number}" if len(comparisons) > 1 else ""
        tables = (*all_tables(group), *judge_tables(group)[:2])
        parts += [latex(table, label=table.key + suffix) for table in tables]
    return "\n".join(parts)
