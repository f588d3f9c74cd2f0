"""`python -m mindgap.report outputs/<sweep>`: reports of a finished sweep, from its files alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mindgap.errors import MindgapError


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the reports and say where they are. Returns the exit code: 0 done, 2 not a sweep."""
    from mindgap.report.write import MAX_SAMPLES, write_report

    parser = argparse.ArgumentParser(
        prog="python -m mindgap.report",
        description="Write the reports of a sweep into its folder, beside comparison.json.",
    )
    parser.add_argument("folder", type=Path, help="the sweep's folder, outputs/<sweep>")
    parser.add_argument(
        "--format",
        type=_formats,
        default=("html",),
        metavar="NAMES",
        help="html (report.html), markdown (report.md), latex (tables.tex); several with commas. Default: html",
    )
    parser.add_argument(
        "--max-samples",
        type=_count,
        default=MAX_SAMPLES,
        metavar="N",
        help=f"how many samples the page holds to look at; numbers always rest on all. Default: {MAX_SAMPLES}",
    )
    options = parser.parse_args(arguments)
    try:
        written = write_report(options.folder, formats=options.format, max_samples=options.max_samples)
    except MindgapError as error:
        sys.stderr.write(f"mindgap: {error}\n")
        return 2
    for path in written:
        sys.stdout.write(f"{path}\n")
    return 0


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
