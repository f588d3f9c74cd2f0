"""Writes a sweep's reports into its folder, for the commands and for the end of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from mindgap.analysis.anchored_schema import anchored_json
from mindgap.analysis.people import AnchoredGroup
from mindgap.analysis.published import Against
from mindgap.analysis.schema import comparison_json
from mindgap.analysis.whole import SweepComparison
from mindgap.presentation.people_tables import anchored_markdown
from mindgap.results.rating_plan import RatingPlan
from mindgap.results.sweep import SweepResults
from mindgap.storage.atomic import replacing

Format = Literal["html", "markdown", "latex", "svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
FIGURES = "figures"
"""Folder in a sweep's folder for figures for a paper."""
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
        elif name in ("svg", "pdf", "png"):
            written += _write_figures(comparison, name)
            continue
        elif name == "markdown":
            from mindgap.report.paper import markdown_report

            path, text = sweep.folder / "report.md", markdown_report(sweep, groups)
        else:
            from mindgap.report.paper import latex_report

            path, text = sweep.folder / "tables.tex", latex_report(sweep, groups)
        _write(path, text)
        written.append(path)
    return tuple(written)


def _write_figures(comparison: SweepComparison, kind: str) -> list[Path]:
    """Write every figure for a paper to `figures/` in the sweep's folder, and return where."""
    from mindgap.presentation.paper_figures import paper_figures, save

    folder = comparison.sweep.folder / FIGURES
    folder.mkdir(exist_ok=True)
    written = []
    for number, group in enumerate(comparison.groups, 1):
        prefix = f"{number}-" if len(comparison.groups) > 1 else ""
        for name, figure in paper_figures(group):
            path = folder / f"{prefix}{name}.{kind}"
            with replacing(path) as temporary:
                save(figure, str(temporary), kind)
            written.append(path)
    return written


def write_anchored(sweep: SweepResults, plan: RatingPlan, groups: Sequence[AnchoredGroup]) -> tuple[Path, ...]:
    """Write estimates that are anchored in people's ratings as `anchored.json` and `anchored.md`.

    Args:
        sweep: What was rated; the files go to its folder.
        plan: Which responses were drawn to be rated.
        groups: The estimates.

    Returns:
        The files' paths.
    """
    texts = {"anchored.json": anchored_json(plan, groups), "anchored.md": anchored_markdown(sweep.name, groups)}
    for name, text in texts.items():
        _write(sweep.folder / name, text)
    return tuple(sweep.folder / name for name in texts)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
