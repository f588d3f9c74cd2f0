"""What a reader must know of a sweep before any number: what failed, what is not there, what an import noticed."""

from __future__ import annotations

from mindgap.results.imports.finding import Finding
from mindgap.results.imports.written import read_findings
from mindgap.results.sweep import SweepResults


def warnings_of(sweep: SweepResults) -> list[str]:
    """The warnings of a sweep, a line each; empty where there is nothing to warn of."""
    failed = [cell for cell in sweep.cells if cell.status == "failed"]
    warnings = [f"Failed: {cell.name}: {cell.reason}" for cell in failed]
    warnings += sweep.notes
    if sweep.unfinished:
        warnings.append(f"Not finished, and not in this report: {', '.join(sweep.unfinished)}")
    if len(sweep.groups) > 1:
        warnings.append(
            "The cells differ in more than method and strength, so they form "
            f"{len(sweep.groups)} groups, and nothing is compared across groups."
        )
    return warnings + [_line(finding) for finding in read_findings(sweep.folder)]


def _line(finding: Finding) -> str:
    """What an import noticed, as one line."""
    of = f" of {finding.of:,}" if finding.of else ""
    return f"{finding.severity.capitalize()}, {finding.method or 'all methods'} ({finding.count:,}{of}): {finding.says}"
