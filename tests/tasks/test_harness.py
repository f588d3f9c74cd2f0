"""Tasks of lm-evaluation-harness over one's own file: the harness' figures unsteered, and whole steered studies."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.results.sweep import SweepResults, read_sweep
from mindgap.tasks.harness import HarnessTask

TASKS = {
    "sums_choice": """
        output_type: multiple_choice
        num_fewshot: 2
        fewshot_split: train
        doc_to_text: "Question: {{question}}\\nAnswer:"
        doc_to_choice: choices
        doc_to_target: right
        metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},
                      {metric: acc_norm, aggregation: mean, higher_is_better: true}]""",
    "sums_reply": """
        output_type: generate_until
        doc_to_text: "Question: {{question}}\\nAnswer:"
        doc_to_target: number
        generation_kwargs: {until: ["\\n"], max_gen_toks: 12, do_sample: false}
        filter_list: [{name: number, filter: [{function: regex, regex_pattern: "(\\\\d+)"}, {function: take_first}]},
                      {name: whole, filter: [{function: take_first}]}]
        metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]""",
    "sums_next": """
        output_type: loglikelihood
        doc_to_text: "{{question}} It is"
        doc_to_target: " {{number}}"
        metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},
                      {metric: perplexity, aggregation: perplexity, higher_is_better: false}]""",
    "sums_text": """
        output_type: loglikelihood_rolling
        doc_to_text: ""
        doc_to_target: "{{question}} It is {{number}}."
        metric_list: [{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}]""",
}
ITEMS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tasks over one file of sums."""
    folder = tmp_path_factory.mktemp("harness")
    draw = random.Random(0)
    rows = []
    for _ in range(ITEMS):
        a, b = draw.randint(2, 9), draw.randint(2, 9)
        choices = [str(a + b + more) for more in (-1, 0, 1, 2)]
        draw.shuffle(choices)
        right, number = choices.index(str(a + b)), str(a + b)
        rows.append({"question": f"What is {a} plus {b}?", "choices": choices, "right": right, "number": number})
    data = folder / "sums.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    (folder / "tasks").mkdir()
    for name, text in TASKS.items():
        head = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}, train: {data}}}}}\n"
        lines = "\n".join(line.removeprefix("        ") for line in text.strip("\n").splitlines())
        (folder / "tasks" / f"{name}.yaml").write_text(f"{head}test_split: test\n{lines}\n")
    return folder


def study(folder: Path, name: str, *settings: str) -> SweepResults:
    common = ["task=lm_eval", f"task.name={name}", "task.include=tasks", "query_set.queries=[be funny]", "judge=proxy"]
    common += ["tracker=none", "resamples=200", f"sweep={name}"]
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    kept["HF_DATASETS_CACHE"] = str(folder / "cache")
    run = [sys.executable, "-m", "mindgap", *common, *settings]
    done = subprocess.run(run, cwd=folder, env=kept, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_sweep(folder / "outputs" / name)


def of_the_harness(folder: Path, name: str, tiny: Any, **settings: Any) -> dict[str, float]:
    """What the harness itself says of the embedded model."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=tiny.engine.model, tokenizer=tiny.engine.tokenizer, device="cpu", batch_size=4)
    manager = TaskManager(include_path=str(folder / "tasks"), include_defaults=False)
    results = lm_eval.simple_evaluate(model, tasks=[name], task_manager=manager, bootstrap_iters=0, **settings)
    return {key: value for key, value in results["results"][name].items() if isinstance(value, float)}


@pytest.mark.parametrize("chat", [False, True])
def test_unsteered_figures_are_those_of_the_harness(folder: Path, tiny: Any, tmp_path: Path, chat: bool) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    import numpy as np

    from mindgap.backends.fetch import completions, option_scores
    from mindgap.core.records import OptionsRequest, Request
    from mindgap.storage.store import Store
    from mindgap.study.plan import as_text
    from mindgap.tasks.trials import Likelihoods, Outcome

    store = Store(tmp_path / "store.sqlite")
    for name in TASKS if not chat else ("sums_choice", "sums_reply"):
        settings = {"apply_chat_template": True, "fewshot_as_multiturn": True} if chat else {}
        expected = of_the_harness(folder, name, tiny, **settings)
        task = HarnessTask(name, "", 256, include=str(folder / "tasks"), chat=chat)
        scores = []
        for item in task.load():
            outcomes: list[Outcome] = []
            for trial in task.trials(item):
                prompt = as_text(trial.messages, tiny, chat=trial.chat)
                if isinstance(trial, Likelihoods):
                    question = OptionsRequest(tiny.identity, prompt, trial.texts, as_text=True)
                    outcomes.append(option_scores([question], tiny, store)[question.key])
                else:
                    asked = Request(tiny.identity, prompt, trial.decoding, 0, as_text=True, until=trial.until)
                    outcomes.append(completions([asked], tiny, store)[asked.key])
            scores.append(task.score(item, outcomes))
        for declared in task.declarations:
            mean = float(np.mean([of_item[declared.name].value for of_item in scores]))
            metric, _, filtered = declared.label.removeprefix("Log ").partition(", ")
            figure = expected[f"{metric},{filtered or 'none'}"]
            mean = float(np.exp(mean)) if declared.label.startswith("Log ") else mean
            near = 0.02 if metric == "bits_per_byte" else 1e-4  # where the harness weighs items by their bytes
            assert mean == pytest.approx(figure, rel=near), (name, declared.name)


def test_a_steered_study_scores_every_item_beside_the_unsteered_one(folder: Path, tiny: Any) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    methods = "method=control,prompt,random"
    sweep = study(folder, "sums_choice", methods, "strength=dose", "strength.dose=1.5", "-m")
    (group,) = sweep.groups
    control, *others = group.cells
    expected = of_the_harness(folder, "sums_choice", tiny)
    for metric in ("acc", "acc_norm"):
        assert control.metrics[metric].value == pytest.approx(expected[f"{metric},none"])
        assert control.metrics[metric].n == ITEMS
    assert {cell.method for cell in others} == {"prompt", "random"}
    for cell in others:
        assert [r.item for r in cell.records] == [r.item for r in control.records]
        assert all(len(r.option_logprobs) == 4 and r.finish_reason == "unasked" for r in cell.records)
        assert all(a.option_logprobs != b.option_logprobs for a, b in zip(cell.records, control.records, strict=True))
    assert "behaviour" not in control.metrics and control.counts["words_missing"] == 0  # nothing was to be said


def test_replies_are_scored_by_the_harness_and_judged_by_the_judge(folder: Path, tiny: Any) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    (cell,) = study(folder, "sums_reply", "task.limit=3", "task.metric=exact_match_whole").cells
    assert {record.gold for record in cell.records} <= {str(n) for n in range(4, 19)}
    for record in cell.records:
        assert record.prompt.startswith("Question: What is ") and "\n" not in record.response
        whole, number = (record.measures[f"exact_match_{kind}"].value for kind in ("whole", "number"))
        assert whole == float(record.response == record.gold) and number >= whole
    assert cell.metrics["behaviour"].n == 3
    prominent = {measure.name: measure.prominence for measure in cell.measures}
    assert (prominent["exact_match_whole"], prominent["exact_match_number"]) == ("primary", "shown")


def test_what_cannot_be_run_is_refused_with_what_would_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"task\.shots"):
        HarnessTask("any", "Be kind.", 8).check()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install 'mindgap\[lm-eval\]'"):
        HarnessTask("any", "", 8).check()


def test_a_misspelt_name_is_answered_with_the_right_one(folder: Path) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    with pytest.raises(ConfigError, match="Did you mean sums_choice"):
        HarnessTask("sums_choise", "", 8, include=str(folder / "tasks")).check()
    with pytest.raises(ConfigError, match="it has acc, acc_norm"):
        HarnessTask("sums_choice", "", 8, include=str(folder / "tasks"), metric="f1").check()
