"""Tasks of lm-evaluation-harness (`task=lm_eval task.name=gsm8k`): its definitions, prompts, examples and scorers.

The harness (EleutherAI, https://github.com/EleutherAI/lm-evaluation-harness) makes the requests of each document and
turns the answers to them into metrics; the answers come from the steered model, like all others, through the store.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.measurement import Declaration, Value
from mindgap.core.records import Answer, Item, Message
from mindgap.tasks.base import OptionQuestion, TaskSettings, stratified
from mindgap.tasks.trials import Outcome, Trial

if TYPE_CHECKING:
    from mindgap.tasks.harness_documents import Documents


@dataclass(frozen=True)
class HarnessTask(TaskSettings):
    """A task, group or tag of lm-evaluation-harness. See `conf/task/lm_eval.yaml`.

    Attributes:
        include: Folder with task YAMLs of the user's own; their `!function` lines run the code that they name.
        shots: Worked examples before each item; None = as the task has it, and so where the task insists on none.
        chat: Have the model's chat template make the prompts, as the harness does with `--apply_chat_template`.
        multiturn: With `chat`, examples are turns of their own, as with `--fewshot_as_multiturn`.
        metric: The metric that the sweep asks about; None = the first one of the task.
        max_tokens: Longest response where the task sets none.
    """

    include: str | None = None
    shots: int | None = None
    chat: bool = False
    multiturn: bool = True
    metric: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shots is not None and self.shots < 0:
            raise ConfigError(f"task.shots must be 0 or more, or null for the task's own, not {self.shots}")
        if self.system or self.few_shot:
            raise ConfigError(
                "task.system and task.few_shot: a task of lm-evaluation-harness brings its own; task.shots sets how "
                "many examples there are"
            )
        if self.instruction_mode != "add":
            raise ConfigError("task.instruction_mode: a method's instruction can only be added to the harness' prompts")

    def check(self) -> None:
        """See `Task.check`: loads the task, whose data may be on the hub.

        Raises:
            UnavailableError: lm-evaluation-harness is not installed, or the task's data cannot be had.
            ConfigError: It has no such task, or one that cannot be run here.
        """
        if self.include is not None and not Path(self.include).expanduser().is_dir():
            raise ConfigError(f"task.include={self.include}: there is no such folder")
        _documents(self, _stamp(self))

    def load(self) -> tuple[Item, ...]:
        """See `Task.load`."""
        return stratified(_documents(self, _stamp(self)).items, self.seed, self.limit)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """See `SelfScoring.declarations`."""
        return _documents(self, _stamp(self)).declarations

    def trials(self, item: Item) -> tuple[Trial, ...]:
        """See `SelfScoring.trials`."""
        return _documents(self, _stamp(self)).trials(item)

    def score(self, item: Item, outcomes: Sequence[Outcome]) -> Mapping[str, Value]:
        """See `SelfScoring.score`."""
        return _documents(self, _stamp(self)).score(item, outcomes)

    def messages(self, item: Item) -> tuple[Message, ...]:
        """See `Task.messages`: the prompt of the first trial."""
        return self.trials(item)[0].messages

    def read(self, item: Item, reply: str) -> Answer | None:
        """See `Task.read`: the harness reads replies, in `score`."""
        return None

    def option_request(self, item: Item, scoring: str) -> OptionQuestion:
        """Refuse: the harness has its own way with options.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"task={self.name}: lm-evaluation-harness scores options itself")


def _stamp(task: HarnessTask) -> tuple[Any, ...]:
    """What changes when the files of the user's own tasks do."""
    if task.include is None:
        return ()
    files = sorted(file for file in Path(task.include).expanduser().rglob("*") if file.is_file())
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@lru_cache(maxsize=8)
def _documents(task: HarnessTask, stamp: object) -> Documents:
    if importlib.util.find_spec("lm_eval") is None:
        raise UnavailableError(f"task={task.name}: lm-evaluation-harness is missing: pip install 'mindgap[lm-eval]'")
    from mindgap.tasks.harness_documents import read_documents

    return read_documents(
        task.name,
        include=task.include,
        shots=task.shots,
        chat=task.chat,
        multiturn=task.multiturn,
        metric=task.metric,
        max_tokens=task.max_tokens,
    )
