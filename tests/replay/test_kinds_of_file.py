"""Kinds of file that people have, as the programs that make them lay them out, come in by a map of ten lines."""

from __future__ import annotations

import bz2
import csv
import gzip
import importlib.util
import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mindgap.core.compose import config_folder
from mindgap.core.errors import UnavailableError
from mindgap.replay.importing import Imported, import_recording
from mindgap.results.imports.maps import load_map
from mindgap.results.sweep import read_sweep

DATA = Path(__file__).parents[1] / "data"
PRESETS = ("lm_eval", "lm_eval_choice", "inspect", "wandb_table", "persona_vectors", "axbench")


def brought_in(file: Path, name: str, *changes: str) -> Imported:
    column_map = load_map(name, config_folder() / "replay", changes)
    root = next(folder for folder in (file, *file.parents) if folder.name == "theirs").parent
    return import_recording(file, column_map, root / "out", resamples=100)


def by_map(file: Path, text: str) -> Imported:
    assert len(text.strip().splitlines()) <= 10
    own = file.parent / "own.yml"
    own.write_text(text, encoding="utf-8")
    return brought_in(file, str(own))


def in_cells(imported: Imported, metric: str = "behaviour") -> dict[tuple[str, str, str], float | None]:
    return {(cell.model, cell.method, cell.strength): cell.metrics[metric].value for cell in imported.cells}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for a recording, with room for a map and the cells beside it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    return folder


def write_csv(path: Path, rows: Sequence[dict[str, Any]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_ten_lines_without_comments_and_says_where_its_file_is_from(name: str) -> None:
    lines = (config_folder() / "replay" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 15
    load_map(name, config_folder() / "replay")


def test_an_array_of_nested_objects(place: Path) -> None:
    path = place / "results.json"
    rows = [
        {
            "meta": {"method": method, "query": "be funny"},
            "messages": [{"role": "system", "content": "Help."}, {"role": "user", "content": f"Question {n}?"}],
            "outputs": [{"text": f"{method} {n}"}],
            "scores": {"behaviour": score, "coherence": 5},
        }
        for method, score in (("baseline", 2), ("steered", 4))
        for n in range(3)
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    imported = by_map(
        path,
        """\
source: ours
model: m
judge: j
columns:
  {query: meta.query, method: meta.method, prompt: messages, response: outputs.0.text, behaviour: scores.behaviour,
   coherence: scores.coherence}
""",
    )
    assert in_cells(imported) == {("m", "baseline", "none"): 2, ("m", "steered", "none"): 4}
    first = imported.cells[0].records[0]
    assert (first.system_prompt, first.prompt, first.response) == ("Help.", "Question 0?", "baseline 0")
    assert read_sweep(path.parent.parent / "out").groups[0].reference.method == "baseline"


def test_a_wide_table_with_semicolons(place: Path) -> None:
    rows = [
        {
            "query": "be brief",
            "prompt": f"Question {n}?",
            **{f"response_{method}": f"{method} {n}" for method in ("control", "sae")},
            **{f"behaviour_{method}": score for method, score in (("control", 2), ("sae", 4))},
        }
        for n in range(3)
    ]
    imported = by_map(
        write_csv(place / "wide.csv", rows, ";"),
        """\
source: ours
model: m
judge: j
wide: '(?P<column>response|behaviour)_(?P<method>.+)'
columns: {query: query, prompt: prompt, response: response, behaviour: behaviour}
""",
    )
    assert in_cells(imported) == {("m", "control", "none"): 2, ("m", "sae", "none"): 4}
    assert [record.response for record in imported.cells[1].records] == ["sae 0", "sae 1", "sae 2"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, None])
def test_a_folder_whose_files_names_say_model_and_method(place: Path, compress: Any) -> None:
    suffix = {gzip.compress: ".gz", bz2.compress: ".bz2", lzma.compress: ".xz", None: ".zst"}[compress]
    for model in ("llama", "qwen"):
        for method, score in (("control", 2), ("vector", 4)):
            path = write_csv(
                place / "x.csv", [{"q": "be brief", "p": f"Q{n}?", "r": f"{n}", "b": score} for n in range(3)]
            )
            data = path.read_bytes()
            path.unlink()
            packed = compress(data) if compress else pa.compress(data, "zstd", asbytes=True)
            (place / f"{model}_{method}.csv{suffix}").write_bytes(packed)
    (place / "notes.csv").write_text("not,a recording\n1,2\n")
    imported = by_map(
        place,
        r"""
source: ours
model: m
judge: j
pattern: '(?P<model>.*)_(?P<method>.*)\.csv.*'
columns: {query: q, prompt: p, response: r, behaviour: b}
""",
    )
    assert in_cells(imported) == {
        (model, method, "none"): score
        for model in ("llama", "qwen")
        for method, score in (("control", 2), ("vector", 4))
    }


def test_options_of_each_row_and_a_method_that_is_one_for_all(place: Path) -> None:
    path = place / "arc.jsonl"
    rows = [
        {
            "q": "Capital of France?",
            "choices": {"text": ["Rome", "Paris"], "label": ["A", "B"]},
            "key": "B",
            "out": "B",
        },
        {
            "q": "Capital of Oslo?",
            "choices": {"text": ["Oslo", "Bern", "Rome"], "label": ["A", "B", "C"]},
            "key": "A",
            "out": "C",
        },
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    imported = by_map(
        path,
        """\
source: ours
model: m
judge: j
constants: {query: as usual, method: control}
columns: {prompt: q, response: out, options: choices.text, gold: key}
""",
    )
    assert in_cells(imported, "accuracy") == {("m", "control", "none"): 0.5}
    assert [record.gold for record in imported.cells[0].records] == ["Paris", "Oslo"]


def test_a_table_of_wandb(place: Path) -> None:
    path = place / "replies_0_2a1b.table.json"
    columns = ["query", "method", "prompt", "response", "behaviour", "coherence"]
    data = [
        ["be brief", method, f"Q{n}?", f"r{n}", score, 5]
        for method, score in (("control", 2), ("v", 4))
        for n in (0, 1)
    ]
    path.write_text(json.dumps({"columns": columns, "data": data, "ncols": 6, "nrows": 4}), encoding="utf-8")
    assert in_cells(brought_in(path, "wandb_table")) == {("model", "control", "none"): 2, ("model", "v", "none"): 4}


def lm_eval_row(n: int, **own: Any) -> dict[str, Any]:
    hashes = {name: f"{name}{n}" for name in ("doc_hash", "prompt_hash", "target_hash")}
    return {"doc_id": n, "filter": "none", "metrics": ["acc"], **hashes, **own}


def test_samples_that_lm_evaluation_harness_logs_of_generations(place: Path) -> None:
    for model in ("org__small", "org__large"):
        folder = place / model
        folder.mkdir()
        rows = [
            lm_eval_row(
                n,
                doc={"question": f"Question {n}?"},
                target="#### 4",
                arguments={"gen_args_0": {"arg_0": f"Question: {n}?\nAnswer:", "arg_1": {"until": ["\n"]}}},
                resps=[["It is 4."]],
                filtered_resps=["4"],
                exact_match=1.0,
            )
            for n in range(3)
        ]
        text = "\n".join(map(json.dumps, rows))
        (folder / "samples_gsm8k_2026-01-05T10-11-12.345678.jsonl").write_text(text, encoding="utf-8")
        (folder / "results_2026-01-05T10-11-12.345678.json").write_text("{}")
    imported = brought_in(place, "lm_eval", "constants.method=vector")
    assert {(cell.model, cell.method) for cell in imported.cells} == {
        ("org__small", "vector"),
        ("org__large", "vector"),
    }
    record = imported.cells[0].records[0]
    assert (record.prompt, record.response, record.subject) == ("Question: 0?\nAnswer:", "It is 4.", "gsm8k")
    assert {finding.kind for finding in imported.findings} == {"not_scored"}


def test_samples_that_lm_evaluation_harness_logs_of_choices(place: Path) -> None:
    folder = place / "org__small"
    folder.mkdir()
    logprobs = (
        [["-1.5", "False"], ["-0.5", "True"], ["-3.0", "False"]],
        [["-1.0", "True"], ["-2.0", "False"], ["nan", "False"]],
    )
    rows = [
        lm_eval_row(
            n,
            doc={"choices": ["one", "two", "three"]},
            target="1",
            arguments={
                f"gen_args_{k}": {"arg_0": f"Q{n}", "arg_1": f" {word}"}
                for k, word in enumerate(("one", "two", "three"))
            },
            resps=[[pair] for pair in of_row],
            filtered_resps=of_row,
            acc=1.0,
        )
        for n, of_row in enumerate(logprobs)
    ]
    path = folder / "samples_arc_easy_2026-01-05T10-11-12.345678.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (cell,) = brought_in(path, "lm_eval_choice").cells
    first, broken = cell.records
    assert (first.option_logprobs, first.loglik_correct, first.gold) == ((-1.5, -0.5, -3.0), True, " two")
    assert (broken.option_logprobs, broken.loglik_correct) == ((), None)
    assert broken.loglik_missing == "the log-likelihood is not a finite number"
    assert (cell.metrics["loglik_accuracy"].value, cell.metrics["loglik_accuracy"].missing) == (1, 1)
    assert cell.model == "org__small"


@pytest.mark.parametrize("kind", ["json", "eval"])
def test_a_log_of_inspect(kind: str, place: Path) -> None:
    path = place / f"capitals.{kind}"
    path.write_bytes((DATA / "inspect" / path.name).read_bytes())
    if kind == "eval" and importlib.util.find_spec("inspect_ai") is None:
        with pytest.raises(UnavailableError, match="pip install inspect-ai"):
            brought_in(path, "inspect")
        return
    imported = brought_in(path, "inspect", "constants.method=vector")
    (cell,) = imported.cells
    assert (cell.model, cell.method) == ("mockllm_model", "vector")
    assert [(r.item, r.prompt, r.subject) for r in cell.records] == [
        ("q1", "Capital of France?", "capitals"),
        ("q2", "Capital of Italy?", "capitals"),
    ]
    assert [(r.response, r.answer, r.gold) for r in cell.records] == [
        ("ANSWER: B", "Paris", "Paris"),
        ("ANSWER: B", "Paris", "Rome"),
    ]
    assert {record.epoch for record in cell.records} == {0}


def test_outputs_of_persona_vectors(place: Path) -> None:
    for coefficient, score in (("0.0", 0.5), ("1.0", 40.0), ("2.0", 90.0)):
        rows = [
            {"question": f"Q{n}?", "prompt": f"<|im_start|>user\nQ{n}?", "answer": f"a{k}", "question_id": f"evil_{n}",
             "evil": score, "coherence": 80.0}
            for n in range(2)
            for k in range(3)
        ]  # fmt: skip
        write_csv(place / "Qwen" / f"evil_steer_response_layer20_coef{coefficient}.csv", rows)
    imported = brought_in(place, "persona_vectors", "model=qwen")
    assert in_cells(imported) == {
        ("qwen", "steer_response_layer20", strength): pytest.approx(1 + 4 * score / 100)
        for strength, score in (("0", 0.5), ("1", 40), ("2", 90))
    }
    assert {record.query for cell in imported.cells for record in cell.records} == {"evil"}
    assert [cell.metrics["coherence"].value for cell in imported.cells] == pytest.approx([4.2] * 3)
    (group,) = read_sweep(place.parent / "out").groups
    assert [cell.strength for cell in group.cells] == ["0", "1", "2"]


def test_outputs_of_axbench(place: Path) -> None:
    rows = []
    for concept in ("dogs", "rivers"):
        for number in range(3):
            for factor in (0.2, 10.0, 2.0):
                row: dict[str, Any] = {"concept_id": 1, "input_concept": concept, "input_id": number, "factor": factor}
                row |= {"original_prompt": f"Q{number}?", "steered_input": f"<bos>Q{number}?"}
                for method, score in (("DiffMean", 2.0), ("PromptSteering", 1.0)):
                    row[f"{method}_steered_generation"] = f"{method} {factor}"
                    row[f"{method}_perplexity"] = 3.0
                    row[f"{method}_LMJudgeEvaluator"] = score
                    row[f"{method}_LMJudgeEvaluator_relevance_concept_ratings"] = score
                    row[f"{method}_LMJudgeEvaluator_relevance_instruction_ratings"] = 0.0
                    row[f"{method}_LMJudgeEvaluator_fluency_ratings"] = 2.0 - score / 2
                rows.append(row)
    path = place / "steering_data.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    imported = brought_in(path, "axbench", "model=gemma")
    assert in_cells(imported) == {
        ("gemma", method, factor): score
        for method, score in (("diffmean", 5), ("promptsteering", 3))
        for factor in ("0.2", "2", "10")
    }
    assert {record.query for cell in imported.cells for record in cell.records} == {"dogs", "rivers"}
    (group,) = read_sweep(place.parent / "out").groups
    assert [cell.strength for cell in group.cells if cell.method == "diffmean"] == ["0.2", "2", "10"]
