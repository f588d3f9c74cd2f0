"""The settings of one cell, checked: what `conf/config.yaml` and the command line come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindgap.backends.base import Backend
from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding
from mindgap.judges.base import Judge
from mindgap.steering.methods import Method
from mindgap.steering.strength import Strength
from mindgap.tasks import Task
from mindgap.tasks.queries import QuerySet
from mindgap.tracking.base import Tracker


@dataclass(frozen=True)
class Experiment:
    """One cell, fully specified (`conf/config.yaml`).

    seed: fixes items, option shuffles, sampling, random directions and bootstrap draws. epochs: generations per
    (query, item). resamples: bootstrap resamples per interval. outputs, store: folder and file that are written to.
    sweep: name of the sweep, its folder's name in `outputs` and its group in W&B. plan: say what would run, and stop.
    """

    model: ModelSpec
    method: Method
    query_set: QuerySet
    task: Task
    judge: Judge
    strength: Strength
    backend: Backend
    tracker: Tracker
    decoding: Decoding
    outputs: Path
    store: Path
    sweep: str
    seed: int = 0
    epochs: int = 1
    resamples: int = 10_000
    plan: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, not {self.epochs}")
        if self.resamples < 100:
            raise ConfigError(f"resamples must be at least 100, not {self.resamples}: fewer give no 95 % interval")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, not {self.seed}")
        if not self.sweep or Path(self.sweep).name != self.sweep:
            raise ConfigError(f"sweep={self.sweep!r}: must be a plain folder name")


def build_experiment(config: Mapping[str, Any]) -> Experiment:
    """The experiment that a composed and resolved configuration describes. Raises ConfigError."""
    return build({key: value for key, value in config.items() if key != "hydra"}, "", Experiment)
