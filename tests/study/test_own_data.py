"""Studies on data of one's own, each in one YAML: a table, JSON lines, plain prompts, GSM8K-shaped Parquet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.usefixtures("tiny")  # skips where the embedded model is not installed


def files(folder: Path) -> None:
    (folder / "mcq.csv").write_text(
        "q,a,b,c,d,key\nWhat is 1+1?,1,2,3,5,B\nThe capital of France?,Rome,Oslo,Paris,Bern,C\n"
    )
    rows = [{"question": "Is ice cold?", "choices": ["yes", "no"], "answer": 0}]
    rows.append({"question": "Is fire cold?", "choices": ["yes", "no"], "answer": 1})
    (folder / "mcq.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "prompts.txt").write_text("Tell me about rain.\nTell me about snow.\n")
    maths = {"question": ["What is 2+2?", "What is 3+4?"], "answer": ["2+2=<<2+2=4>>4\n#### 4", "3+4=7\n#### 7"]}
    (folder / "gsm8k").mkdir()
    pq.write_table(pa.table(maths), folder / "gsm8k" / "test-00000-of-00001.parquet")


def study(folder: Path, path: str) -> list[dict]:
    """The samples of a study whose every setting of the task stands in one YAML."""
    (folder / "my_conf" / "task").mkdir(parents=True)
    (folder / "my_conf" / "task" / "mine.yaml").write_text(f"defaults: [dataset, _self_]\nname: mine\npath: {path}\n")
    settings = ["query_set.queries=[be funny]", "judge=proxy", "tracker=none", "resamples=200", "sweep=s"]
    run = [sys.executable, "-m", "mindgap", "--config-dir", "my_conf", "task=mine", "task.max_tokens=8", *settings]
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    done = subprocess.run(run, cwd=folder, env=kept, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (samples,) = (folder / "outputs" / "s").glob("*/samples.parquet")
    return pq.read_table(samples).to_pylist()


@pytest.mark.parametrize("path", ["mcq.csv", "mcq.jsonl", "prompts.txt", "gsm8k"])
def test_a_study_in_one_yaml(tmp_path, path):
    files(tmp_path)
    samples = study(tmp_path, path)
    assert len(samples) == 2 and all(sample["response"].strip() and not sample["error"] for sample in samples)
    golds = {"mcq.csv": {"2", "Paris"}, "mcq.jsonl": {"yes", "no"}, "prompts.txt": {None}, "gsm8k": {"4", "7"}}[path]
    assert {sample["gold"] for sample in samples} == golds
    for sample in samples:
        assert bool(sample["option_logprobs"]) == (path in ("mcq.csv", "mcq.jsonl"))
        assert (sample["correct"] is None) == (path == "prompts.txt")
        if path != "prompts.txt":  # an answer, or the reason why there is none
            assert (sample["answer"] is None) == (sample["unparsed"] is not None)
