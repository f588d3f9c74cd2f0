"""What a finding about a recording is, and how one is made of the samples that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mindgap.results.imports.rows import RecordedSample

Severity = Literal["problem", "note"]
MOST_EXAMPLES = 3
SHOWN = 160
"""Characters of a text that an example shows."""


@dataclass(frozen=True)
class Finding:
    """One thing about a recording that a reader must know.

    Attributes:
        kind: Short name, one of those in docs/replay.md.
        severity: `problem` = numbers that rest on these samples do not mean what they seem to; `note` = worth knowing.
        method: The recording's label of it; None = all.
        count: Samples concerned.
        of: Samples that could have been.
        says: What it is and what was done about it, one sentence or two.
        examples: Some of them, with the number of the row in the file, from 1.
    """

    kind: str
    severity: Severity
    method: str | None
    count: int
    of: int
    says: str
    examples: tuple[dict[str, Any], ...] = ()


def by_title(samples: Sequence[RecordedSample]) -> dict[str, list[RecordedSample]]:
    """The samples of each cell by its title, in order of appearance."""
    cells: dict[str, list[RecordedSample]] = {}
    for sample in samples:
        cells.setdefault(sample.title, []).append(sample)
    return cells


def finding_of(
    kind: str,
    severity: Severity,
    method: str | None,
    bad: Sequence[RecordedSample],
    of: int,
    says: str,
    more: Callable[[RecordedSample], dict[str, Any]] = lambda sample: {"prompt": sample.prompt[:SHOWN]},
) -> Finding:
    examples = tuple(
        {"row": s.number, **({"file": s.file} if s.file else {}), "query": s.query, "item": s.item.id, **more(s)}
        for s in bad[:MOST_EXAMPLES]
    )
    return Finding(kind, severity, method, len(bad), of, says, examples)
