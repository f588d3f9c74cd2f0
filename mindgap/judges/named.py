"""Makes the judge that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mindgap.core.build import build
from mindgap.core.compose import composed
from mindgap.core.errors import UnavailableError
from mindgap.judges.base import Judge


def judge_from(overrides: Sequence[str], folder: Path) -> Judge:
    """The judge that a study with these settings would have.

    Args:
        overrides: `judge=NAME judge.KEY=VALUE …`, as for `python -m mindgap`.
        folder: The built-in configuration.

    Raises:
        ConfigError: The settings do not fit.
        UnavailableError: The judge cannot work here.
    """
    judge: Judge = build(composed(overrides, folder)["judge"], "judge", Judge)
    if missing := judge.lacks():
        raise UnavailableError(f"judge={judge.name} cannot run here: it lacks {'; '.join(missing)}")
    return judge
