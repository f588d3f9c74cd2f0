"""`python -m mindgap.report outputs/<sweep> …`: reports of finished sweeps, from their files alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.cli.command import exit_code

if TYPE_CHECKING:
    from mindgap.results.sweep import SweepResults

WIDE = 200
"""Columns for tables where nobody's terminal says how many there are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the reports and say where they are. Exit codes: 0 done, 2 no sweep or no W&B Report, 130 stopped."""
    from mindgap.report.write import MAX_SAMPLES

    parser = argparse.ArgumentParser(
        prog="python -m mindgap.report",
        description="Write the reports of a sweep into its folder, beside comparison.json. Of several sweeps: into a "
        "folder of their own, where their cells are compared as far as they may be.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder", help="a sweep's folder, outputs/<sweep>")
    usual = "Default: what the sweep was run with, `question` in conf/config.yaml"
    asked = parser.add_argument_group("the question", usual)
    asked.add_argument(
        "--margin",
        type=float,
        metavar="X",
        help="most that may be lost against the reference: 0.02 = 2 points of accuracy",
    )
    asked.add_argument("--metric", metavar="NAME", help="measure that pays: accuracy, coherence, ...")
    asked.add_argument("--at-least", type=float, metavar="X", help="mean behaviour that a method must reach")
    asked.add_argument(
        "--confidence", type=float, metavar="P", help="that the limit is kept, for a method to be chosen: 0.95"
    )
    asked.add_argument("--reference", metavar="CELL", help="a method or a cell that losses and gains are counted from")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for the reports of several sweeps. Default: beside the first"
    )
    parser.add_argument(
        "--format",
        type=_formats,
        default=("html",),
        metavar="NAMES",
        help="html (report.html), markdown (report.md), latex (tables.tex); svg, pdf, png: figures for a paper, in "
        "figures/; several with commas. Default: html",
    )
    parser.add_argument(
        "--max-samples",
        type=_count,
        default=MAX_SAMPLES,
        metavar="N",
        help=f"how many samples the page holds to look at; numbers always rest on all. Default: {MAX_SAMPLES}",
    )
    parser.add_argument(
        "--against",
        metavar="paper|FILE",
        help="put the cells beside published figures: paper, or a file laid out like mindgap/data/paper_table.json",
    )
    parser.add_argument(
        "--tracker",
        choices=("wandb",),
        help="write a W&B Report too; cells that have no run at W&B get theirs. Needs the extra wandb-report and a key",
    )
    parser.add_argument("--project", metavar="NAME", help="W&B project. Default: the one the cells were tracked in")
    parser.add_argument("--entity", metavar="NAME", help="W&B user or team. Default: the one the cells were tracked in")
    options = parser.parse_args(arguments)
    if options.tracker is None and (options.project or options.entity):
        parser.error("--project and --entity say where a W&B Report goes: add --tracker wandb")
    if len(options.folders) == 1 and options.output:
        parser.error("--output is for the reports of several sweeps; those of one go into its own folder")
    if len(options.folders) > 1 and options.tracker:
        parser.error("a W&B Report is one sweep's: give one folder with --tracker wandb")
    return exit_code(lambda: _write(options))


def _write(options: argparse.Namespace) -> None:
    from mindgap.analysis.whole import compare_sweep
    from mindgap.report.write import write_report

    comparison = compare_sweep(_asked(options))
    against = None
    if options.against:
        from mindgap.analysis.published import against_paper, read_published

        against = against_paper(comparison.sweep.cells, read_published(options.against))
    for path in write_report(comparison, formats=options.format, max_samples=options.max_samples, against=against):
        _say(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
    if _question(options):
        from mindgap.analysis.headline import headline

        for group in comparison.groups:
            _say(f"\n{headline(group)}")
    if against is not None:
        from mindgap.cli.console import console_for
        from mindgap.presentation.published_tables import print_against

        print_against(console_for(width=WIDE), against)
    if options.tracker:
        from mindgap.tracking.wandb_report import publish

        _say(f"W&B Report: {publish(comparison, project=options.project, entity=options.entity, say=_say)}")


def _asked(options: argparse.Namespace) -> SweepResults:
    """The sweep, or all of them as one, with the question that the options ask."""
    from mindgap.results.joined import joined
    from mindgap.results.sweep import read_sweep

    sweeps = [read_sweep(folder) for folder in options.folders]
    if len(sweeps) == 1:
        sweep = sweeps[0]
    else:
        name = "+".join(dict.fromkeys(sweep.name for sweep in sweeps))[:120]
        folder = options.output or sweeps[0].folder.parent / name
        sweep = joined(sweeps, folder)
        folder.mkdir(parents=True, exist_ok=True)
    changed = _question(options)
    return sweep.asking(replace(sweep.question, **changed)) if changed else sweep


def _question(options: argparse.Namespace) -> dict[str, Any]:
    """What the options ask otherwise than the sweep was run with."""
    names = ("margin", "metric", "at_least", "confidence", "reference")
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _formats(text: str) -> tuple[str, ...]:
    from mindgap.report.write import FORMATS

    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no format {unknown[0]!r}; there are {', '.join(FORMATS)}")
    return names


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
