"""From a sweep's folder to its reports: the one function that the command line and the end of a sweep call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from mindgap.analysis.compute import compare
from mindgap.analysis.judges import judges_compared
from mindgap.analysis.published import Against
from mindgap.analysis.schema import comparison_json
from mindgap.results.sweep import read_sweep
from mindgap.storage.atomic import replacing

Format = Literal["html", "markdown", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)
MAX_SAMPLES = 50_000
"""Samples that the page's browser holds unless told otherwise; a page of 50,000 is some 20 MB."""


def write_report(
    folder: Path,
    *,
    formats: Iterable[Format] = ("html",),
    max_samples: int = MAX_SAMPLES,
    against: Against | None = None,
) -> tuple[Path, ...]:
    """Write `comparison.json` and the reports of `formats` to a sweep's folder; returns the reports' paths.

    against: the sweep's cells beside published figures, for the page. Raises NoSweepError where the folder holds no
    sweep.
    """
    sweep = read_sweep(folder)
    comparisons = [compare(group) for group in sweep.groups]
    comparisons = [replace(found, judges=judges_compared(found)) for found in comparisons]
    _write(sweep.folder / "comparison.json", comparison_json(sweep, comparisons))
    written = []
    for name in dict.fromkeys(formats):
        if name == "html":
            from mindgap.report.page import render

            path, text = (
                sweep.folder / "report.html",
                render(sweep, comparisons, max_samples=max_samples, against=against),
            )
        elif name == "markdown":
            from mindgap.report.paper import markdown_report

            path, text = sweep.folder / "report.md", markdown_report(sweep, comparisons)
        else:
            from mindgap.report.paper import latex_report

            path, text = sweep.folder / "tables.tex", latex_report(sweep, comparisons)
        _write(path, text)
        written.append(path)
    return tuple(written)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
