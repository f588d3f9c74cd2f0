"""The settings of one cell, checked: what `conf/config.yaml` and the command line come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mindgap.backends.base import Backend
from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.core.measurement import Declaration
from mindgap.core.model import ModelSpec
from mindgap.core.records import Decoding
from mindgap.judges.base import Judge
from mindgap.measures.base import Measure, declared
from mindgap.results.question import Question
from mindgap.results.samples import COLUMNS
from mindgap.stats.samples import JUDGED
from mindgap.steering.damage import Damage
from mindgap.steering.methods import Method
from mindgap.steering.strength import Strength
from mindgap.tasks import Task
from mindgap.tasks.queries import QuerySet
from mindgap.tasks.trials import SelfScoring
from mindgap.tracking.base import Tracker


@dataclass(frozen=True)
class Experiment:
    """One cell, fully specified (`conf/config.yaml`).

    Attributes:
        model: Which model.
        method: How the behaviour is asked for.
        query_set: Which behaviours.
        task: Which questions.
        judge: Who scores behaviour and coherence.
        strength: How hard the method steers.
        backend: Where text comes from.
        tracker: Where results are logged beside the files.
        measures: What is measured on each sample, by any key; display order.
        decoding: How the next token is chosen.
        outputs: Folder that everything is written to.
        store: File that keeps generations and scores.
        sweep: Name of the sweep: its folder's name in `outputs` and its group in W&B.
        seed: Fixes items, option shuffles, sampling, random directions and bootstrap draws.
        epochs: Generations per (query, item).
        resamples: Bootstrap resamples per interval.
        population: Speak of other queries and items even where these are fewer than six.
        plan: Say what would run, and stop.
        together: Answer the requests of all cells of a sweep in one batch, where the cells run in this process.
        question: What is asked of the sweep; it changes no sample.
    """

    model: ModelSpec
    method: Method
    query_set: QuerySet
    task: Task
    judge: Judge
    strength: Strength | Damage
    backend: Backend
    tracker: Tracker
    measures: Mapping[str, Measure]
    decoding: Decoding
    outputs: Path
    store: Path
    sweep: str
    seed: int = 0
    epochs: int = 1
    resamples: int = 10_000
    population: bool = False
    plan: bool = False
    together: bool = True
    question: Question = field(default_factory=Question)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, not {self.epochs}")
        if self.resamples < 100:
            raise ConfigError(f"resamples must be at least 100, not {self.resamples}: fewer give no 95 % interval")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, not {self.seed}")
        if self.sweep in ("", "..") or Path(self.sweep).name != self.sweep:
            raise ConfigError(f"sweep={self.sweep!r}: must be a plain folder name")
        names = [declared(measure).name for measure in self.measures.values()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"measures: two of them are called {twice[0]}; give one of them another name")
        if taken := sorted({*names} & {*COLUMNS} - {*JUDGED}):
            raise ConfigError(f"measures: {taken[0]} is already a column of samples.parquet; choose another name")
        self.question.check(self.declarations)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """What is measured on each sample, in display order: by the measures, then by a task that scores items itself.

        Raises:
            ConfigError: A measure makes no sense, or is called as one of the task's.
        """
        own = self.task.declarations if isinstance(self.task, SelfScoring) else ()
        measures = tuple(declared(measure) for measure in self.measures.values())
        if twice := {measure.name for measure in measures} & {declaration.name for declaration in own}:
            raise ConfigError(f"measures: {sorted(twice)[0]} is also what task={self.task.name} measures; rename yours")
        return (*measures, *own)

    @cached_property
    def scores_itself(self) -> bool:
        """Whether the task scores its items itself. Asked once: to look for a protocol's members takes its time."""
        return isinstance(self.task, SelfScoring)

    @property
    def strength_label(self) -> str:
        """The strength's label; `none` where the method steers nothing, whatever strength is set."""
        return self.strength.label if self.method.steers else "none"


def build_experiment(config: Mapping[str, Any]) -> Experiment:
    """The experiment that a composed and resolved configuration describes. Raises ConfigError."""
    return build({key: value for key, value in config.items() if key != "hydra"}, "", Experiment)
