"""An evaluation by lm-evaluation-harness over `/v1`: its own client, its own task, replies as the model gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
pytest.importorskip("tenacity", reason="its client needs the extra lm-eval[api]")

from mindgap.core.records import Decoding, Message, Request

TASK = """\
task: letters
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["{stop}"], max_gen_toks: 16, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
QUESTIONS = [f"What comes after {number}?" for number in range(6)]


def replies(server: Any, stop: str) -> list[str]:
    """What the model says by itself, up to the text that ends a reply."""
    endpoint = server.service.endpoint
    asked = [
        Request(endpoint.identity, (Message("user", question),), Decoding(16, 0.0), 0, until=(stop,))
        for question in QUESTIONS
    ]
    return [completion.text for _, completion in sorted(endpoint.generate(asked), key=lambda pair: pair[0])]


def test_its_figures_are_those_of_the_models_own_replies(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    stop = "e"
    own = replies(server, stop)
    assert all(own) and len(set(own)) > 3, own
    right = own[:2] + ["something else"] * 4
    data = tmp_path / "letters.jsonl"
    rows = [{"question": question, "answer": answer} for question, answer in zip(QUESTIONS, right, strict=True)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "letters.yaml").write_text(TASK.format(data=data, stop=stop))
    found = lm_eval.simple_evaluate(
        model="local-chat-completions",
        model_args={
            "model": "small",
            "base_url": f"{server.url}/v1/chat/completions",
            "num_concurrent": 3,
            "max_retries": 1,
        },
        tasks=["letters"],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
        log_samples=True,
    )
    said = {sample["doc"]["question"]: sample["resps"][0][0] for sample in found["samples"]["letters"]}
    assert [said[question] for question in QUESTIONS] == own
    assert found["results"]["letters"]["exact_match,none"] == sum(map(str.__eq__, own, right)) / len(own)
