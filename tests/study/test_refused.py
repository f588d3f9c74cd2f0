"""A model of which nothing comes fails its cells: the reason is on the screen, and the exit code is not zero."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

STUDY = ["task=starter_open", "task.limit=2", "task.max_tokens=4", "query_set.queries=[be funny]", "judge=proxy"]
SETTINGS = [*STUDY, "tracker=none", "resamples=200", "backend.device=cpu", "model.embedded=false", "model.sae=null"]


@pytest.fixture
def folder(small_model: SimpleNamespace, tmp_path: Path) -> Path:
    """A small model's."""
    folder = tmp_path / "small"
    small_model.model.save_pretrained(folder)
    small_model.tokenizer.save_pretrained(folder)
    return folder


def mindgap(model: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mindgap", *SETTINGS, f"model.hf_id={model}", *arguments],
        cwd=model.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def change_config(folder: Path, **settings: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_a_cell_whose_every_prompt_is_too_long_has_failed(folder: Path) -> None:
    change_config(folder, max_position_embeddings=40)
    done = mindgap(folder, "sweep=long")
    assert done.returncode == 1
    assert "failed  Control: not one of 2 requests was answered: prompt of " in done.stdout
    assert "exceeds the model's context of 40" in done.stdout and "Traceback" not in done.stdout + done.stderr
    (cell,) = folder.parent.glob("outputs/long/*/metrics.json")
    assert json.loads(cell.read_text())["status"] == "failed"
    errors = pq.read_table(cell.with_name("samples.parquet"))["error"].to_pylist()
    assert len(errors) == 2 and all("exceeds the model's context" in error for error in errors)


def test_a_prompt_that_is_too_long_fails_alone(folder: Path) -> None:
    questions = [
        {"id": name, "question": question, "options": ["yes", "no"], "gold": 0, "subject": "any"}
        for name, question in {"short": "why?", "long": "why " * 100}.items()
    ]
    (folder.parent / "items.jsonl").write_text("\n".join(map(json.dumps, questions)))
    done = mindgap(folder, "sweep=some", "task.path=items.jsonl", "task.limit=null")
    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = folder.parent.glob("outputs/some/*/metrics.json")
    saved = json.loads(cell.read_text())
    assert saved["status"] == "finished" and saved["counts"]["errors"] == 1
    assert "1 samples without a reply" in done.stdout


@pytest.mark.parametrize("plan", ["true", "false"])
def test_a_folder_that_is_no_model_is_refused_before_anything_is_spent(folder: Path, plan: str) -> None:
    (folder / "model.safetensors").unlink()
    done = mindgap(folder, f"plan={plan}")
    assert done.returncode == 2 and not (folder.parent / "outputs").exists()
    assert f"lacks weights: {folder} holds no .safetensors file" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_model_that_fails_to_load_is_loaded_once_for_all_cells(folder: Path) -> None:
    change_config(folder, tie_word_embeddings=False, num_hidden_layers=5)
    done = mindgap(folder, "sweep=broken", "method=control,prompt", "-m")
    assert done.returncode == 1
    for label in ("1 of 2  Control", "2 of 2  Prompting"):
        assert f"failed  {label}: model.hf_id={folder}: its files lack weights: model.layers.4." in done.stdout
    planned = mindgap(folder, "plan=true")
    assert planned.returncode == 2 and "its files lack weights" in planned.stderr
    assert "Traceback" not in done.stdout + done.stderr + planned.stdout + planned.stderr
