"""A measure of a user's own, as one class or one YAML file, reaches every place where measures are shown."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from wandb_log import read_runs

CLASS = '''
"""How much a reply shouts."""

from dataclasses import dataclass

from mindgap.core.measurement import Value


@dataclass(frozen=True)
class Shouting:
    name: str = "shouting"
    range: tuple[float | None, float | None] = (0, 1)
    better: str = "lower"

    def value(self, sample):
        letters = [letter for letter in sample.response if letter.isalpha()]
        if not letters:
            return Value(None, "no letters")
        return Value(sum(letter.isupper() for letter in letters) / len(letters))
'''

YAMLS = {
    "shouting": "shouting:\n  _target_: shouting.Shouting\n",
    "we": "we:\n  _target_: mindgap.measures.words.WordList\n  name: we\n  words: [we, us, our]\n",
}


@pytest.fixture(scope="module")
def sweep(tiny: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two cells with a class and a YAML of the user's own."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "shouting.py").write_text(CLASS)
    (folder / "my_conf" / "measures").mkdir(parents=True)
    for name, text in YAMLS.items():
        (folder / "my_conf" / "measures" / f"{name}.yaml").write_text(text)
    overrides = ["method=control,prompt", "task=starter_open", "task.limit=6", "query_set=quick", "judge=proxy"]
    done = subprocess.run(
        [sys.executable, "-m", "mindgap", "--config-dir", "my_conf", "measures=[standard,shouting,we]", *overrides,
         "decoding.max_tokens=8", "sweep=mine", "tracker.mode=offline", "-m"],
        cwd=folder, capture_output=True, text=True, timeout=280,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "printed").write_text(done.stdout)
    return folder / "outputs" / "mine"


def test_it_is_in_the_terminals_table(sweep: Path) -> None:
    printed = (sweep.parents[1] / "printed").read_text()
    assert "shouting" in printed and " we" in printed


def test_it_is_in_the_files(sweep: Path) -> None:
    for path in sweep.glob("*/samples.parquet"):
        table = pq.read_table(path)
        assert all(0 <= value <= 1 for value in table.column("shouting").to_pylist())
        assert table.column("we_missing").null_count == table.num_rows
    with (sweep / "summary.csv").open() as file:
        assert all(float(row["shouting_n"]) == 18 for row in csv.DictReader(file))


def test_it_is_in_the_comparison_with_what_it_declares(sweep: Path) -> None:
    (group,) = json.loads((sweep / "comparison.json").read_text())["groups"]
    (declared,) = [measure for measure in group["measures"] if measure["name"] == "shouting"]
    assert declared["label"] == "Shouting" and declared["better"] == "lower" and declared["range"] == [0, 1]
    assert group["cells"][1]["differences"]["shouting"]["n"] == 18
    assert group["cells"][1]["metrics"]["we"]["value"] is not None


def test_it_is_on_the_page(sweep: Path) -> None:
    page = (sweep / "report.html").read_text(encoding="utf-8")
    assert "Shouting" in page and '"heat-shouting"' in page.replace("g1-", "")


def test_it_is_in_wandb(sweep: Path) -> None:
    runs = read_runs(sweep)
    cells = [run for run in runs if run.summary.get("status") == "finished"]
    assert len(cells) == 2 and all("shouting" in run.summary and "we_high" in run.summary for run in cells)


def test_the_report_is_written_again_where_the_class_is_not_at_hand(sweep: Path) -> None:
    command = [sys.executable, "-m", "mindgap.report", str(sweep), "--format", "markdown"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=sweep)
    assert done.returncode == 0, done.stderr
    assert "Shouting" in (sweep / "report.md").read_text()
