"""The judge that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.core.build import build
from mindgap.core.compose import composed
from mindgap.core.errors import UnavailableError

if TYPE_CHECKING:
    from mindgap.judges.base import Judge


def judge_from(overrides: Sequence[str], folder: Path) -> Judge:
    """The judge that `judge=NAME judge.key=value …` name, as `python -m mindgap` would build it from `folder`.

    Raises ConfigError for one that does not fit, UnavailableError for one that cannot judge here.
    """
    node = composed(overrides, folder)["judge"]
    judge: Judge = build(node, "judge")
    if missing := judge.lacks():
        raise UnavailableError(f"judge={judge.name} cannot run here: it lacks {'; '.join(missing)}")
    return judge
