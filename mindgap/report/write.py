"""Write a sweep's reports into its folder: what the command line and the end of a sweep call."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from mindgap.analysis.published import Against
from mindgap.analysis.schema import comparison_json
from mindgap.analysis.whole import SweepComparison
from mindgap.storage.atomic import replacing

Format = Literal["html", "markdown", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)
MAX_SAMPLES = 50_000
"""Samples that the page's browser holds unless told otherwise; a page of 50,000 is some 20 MB."""


def write_report(
    comparison: SweepComparison,
    *,
    formats: Iterable[Format] = ("html",),
    max_samples: int = MAX_SAMPLES,
    against: Against | None = None,
) -> tuple[Path, ...]:
    """Write `comparison.json` and the reports of `formats` to the sweep's folder.

    Args:
        comparison: The sweep, and all that is said of it.
        formats: Which reports.
        max_samples: How many samples the page holds to look at; its numbers rest on all.
        against: The sweep's cells beside published figures, for the page.

    Returns:
        The reports' paths.
    """
    sweep, groups = comparison.sweep, comparison.groups
    _write(sweep.folder / "comparison.json", comparison_json(sweep, groups))
    written = []
    for name in dict.fromkeys(formats):
        if name == "html":
            from mindgap.report.page import render

            path = sweep.folder / "report.html"
            text = render(sweep, groups, max_samples=max_samples, against=against)
        elif name == "markdown":
            from mindgap.report.paper import markdown_report

            path, text = sweep.folder / "report.md", markdown_report(sweep, groups)
        else:
            from mindgap.report.paper import latex_report

            path, text = sweep.folder / "tables.tex", latex_report(sweep, groups)
        _write(path, text)
        written.append(path)
    return tuple(written)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
