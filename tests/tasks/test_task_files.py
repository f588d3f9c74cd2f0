"""Every task of `conf/task` composes and builds without network, and says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindgap.core.build import build
from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import UnavailableError
from mindgap.tasks.base import Task
from mindgap.tasks.harness import HarnessTask

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "task"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
NEEDS = {"dataset": ["task.path=a.csv"], "lm_eval": ["task.name=gsm8k"]}
OF_THE_HARNESS = {
    "ifeval": ("ifeval", "prompt_level_strict_acc", True),
    "lm_eval": ("gsm8k", None, False),
    "lm_eval_arc": ("arc_challenge", "acc_norm", False),
    "lm_eval_gsm8k": ("gsm8k", "exact_match_flexible_extract", False),
    "lm_eval_hellaswag": ("hellaswag", "acc_norm", False),
    "lm_eval_mmlu_pro": ("mmlu_pro", "exact_match_custom_extract", False),
    "lm_eval_truthfulqa": ("truthfulqa_mc1", "acc", False),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_made_of_its_file(name: str) -> None:
    task: Task = build(composed([f"task={name}", *NEEDS.get(name, [])], config_folder())["task"], "task", Task)
    assert task.name and task.max_tokens > 0
    assert isinstance(task, HarnessTask) == (name in OF_THE_HARNESS)
    if isinstance(task, HarnessTask):
        assert (task.name, task.metric, task.chat) == OF_THE_HARNESS[name]
    assert (FOLDER / f"{name}.yaml").read_text().startswith("# ")  # what `python -m mindgap ls tasks` says of it


@pytest.mark.parametrize("name", sorted(OF_THE_HARNESS))
def test_without_the_harness_each_of_its_tasks_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *names: None)
    task = build(composed([f"task={name}", *NEEDS.get(name, [])], config_folder())["task"], "task", Task)
    with pytest.raises(UnavailableError, match=r"pip install 'mindgap\[lm-eval\]'"):
        task.check()
