"""When, where and with which command a sweep was run, and by which versions: `runs.json` in its folder."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mindgap.core.secrets import mask_text
from mindgap.storage.atomic import replacing

RUNS = "runs.json"
PACKAGES = ("mindgap", "torch", "transformers", "numpy", "scipy", "litellm", "goodfire")
"""Whose versions can change a result."""


@dataclass(frozen=True)
class RunFacts:
    """One run of a sweep; a sweep that was stopped, or given another method later, has several.

    Attributes:
        command: As it was typed, secrets masked; None where nobody typed one.
        began: When, in ISO format, UTC.
        ended: When it came to its end; None where it was stopped.
        cells: How many cells it set out to make.
        machine: Processor, cores and system.
        versions: Of Python and of packages, by name.
        judges: Identity of each judge, by name: model, server, prompt and decoding, or the calibration.
    """

    command: str | None
    began: str
    ended: str | None = None
    cells: int = 0
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    judges: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it did not come to its end."""
        if self.ended is None:
            return None
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.began)).total_seconds()


def begin_run(folder: Path, command: str | None, cells: int, judges: Mapping[str, str]) -> None:
    """Write down that a run of the sweep in `folder` begins.

    Args:
        folder: The sweep's.
        command: As it was typed; None where nobody typed one.
        cells: How many cells it is to make.
        judges: Identity of each judge, by name.
    """
    now = RunFacts(
        None if command is None else mask_text(command),
        _now(),
        None,
        cells,
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        _versions(),
        {name: mask_text(identity) for name, identity in judges.items()},
    )
    _write(folder, [*read_runs(folder), now])


def end_run(folder: Path) -> None:
    """Write down that the last run of the sweep in `folder` has come to its end."""
    if runs := read_runs(folder):
        _write(folder, [*runs[:-1], replace(runs[-1], ended=_now())])


def read_runs(folder: Path) -> tuple[RunFacts, ...]:
    """The runs of the sweep in `folder`, first to last; none where nothing was written down."""
    try:
        saved: list[dict[str, Any]] = json.loads((folder / RUNS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(RunFacts(**run) for run in saved)


def _write(folder: Path, runs: Sequence[RunFacts]) -> None:
    with replacing(folder / RUNS) as path:
        path.write_text(json.dumps([asdict(run) for run in runs], indent=1, ensure_ascii=False), encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
