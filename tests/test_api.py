"""The public door: what a notebook gets from `import mindgap`."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from sweeps import KINDS, make_cell, write_sweep

import mindgap
from mindgap.core.compose import written
from mindgap.measures.pattern import Pattern
from mindgap.measures.readability import Readability
from mindgap.results.files import write_cell
from mindgap.study.jobs import jobs_of

RECORDED = Path(__file__).resolve().parent / "data" / "v0.1.0" / "demo"
SMALL: dict[str, Any] = {
    "task": "starter_open",
    "task.limit": 2,
    "task.max_tokens": 8,
    "query_set.queries": "[be funny]",
    "judge": "proxy",
    "tracker": "none",
    "resamples": 200,
}


@dataclass(frozen=True)
class Letters:
    """Share of one letter."""

    letter: str
    name: str = "letters"
    range: tuple[float, float] = (0, 1)
    better: Literal["neither"] = "neither"

    def value(self, sample: mindgap.Record) -> mindgap.Value:
        if not sample.response:
            return mindgap.Value(None, "empty")
        return mindgap.Value(sample.response.count(self.letter) / len(sample.response))


@dataclass(frozen=True)
class Nowhere(Letters):
    letter: str = "e"
    name: str = "nowhere"

    def lacks(self) -> list[str]:
        return ["a telescope"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> mindgap.Sweep:
    return mindgap.load(shutil.copytree(RECORDED, tmp_path_factory.mktemp("outputs") / "demo"))


def test_importing_it_imports_nothing_else() -> None:
    program = (
        "import sys, mindgap; print(sorted(name for name in sys.modules if name.startswith('mindgap')), dir(mindgap))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("['mindgap'] ")
    assert all(name in done.stdout for name in ("run", "load", "steer", "Sweep"))


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'laod'; there are .*load"):
        _ = mindgap.laod  # type: ignore[attr-defined]


def test_everything_public_says_what_it_does() -> None:
    for name in mindgap.__all__:
        thing = getattr(mindgap, name)
        assert inspect.getdoc(thing), name
        for member, value in vars(thing).items() if inspect.isclass(thing) and not name.endswith("Error") else ():
            is_field = member in getattr(thing, "__dataclass_fields__", ())  # the class's own docstring tells of these
            if not member.startswith("_") and not is_field:
                assert inspect.getdoc(value), f"{name}.{member}"


def test_samples_metrics_and_cells_of_a_sweep(demo: mindgap.Sweep) -> None:
    samples = demo.samples
    assert samples.num_rows == sum(len(cell.records) for cell in demo.cells) == 8 * 24
    assert {"cell", "query", "response", "behaviour", "repetition"} <= set(samples.column_names)
    assert demo.metrics.num_rows == 8
    row = demo.metrics.slice(0, 1).to_pylist()[0]
    assert row["label"] == "Control" and row["behaviour_low"] < row["behaviour"] < row["behaviour_high"]
    frame = samples.to_pandas()
    assert frame.groupby("cell")["behaviour"].mean()[demo.cells[0].name] == pytest.approx(row["behaviour"])


def test_cells_can_be_looked_at(demo: mindgap.Sweep) -> None:
    shown = repr(demo.cells)
    assert "label='Prompting'" in shown and len(shown) < 8 * 600
    assert demo.cells[0].metrics["behaviour"].value == demo.metrics.column("behaviour")[0].as_py()


def test_a_comparison_with_the_usual_reference_and_with_another(demo: mindgap.Sweep) -> None:
    rows = demo.compare(metrics=["behaviour"]).to_pylist()
    assert len(rows) == 7 and {row["against"] for row in rows} == {"Control"}
    assert {row["cell"] for row in rows} < set(demo.samples.column("cell").to_pylist())
    prompting = next(row for row in rows if row["name"] == "Prompting")
    for reference in ("prompt", "Prompting", prompting["cell"]):
        against = demo.compare(reference, ["behaviour"]).to_pylist()
        control = next(row for row in against if row["name"] == "Control")
        assert control["difference"] == pytest.approx(-prompting["difference"])
    (dosed, *_) = demo.compare("Vector (dose 0.3)", ["behaviour"]).to_pylist()
    assert dosed["reference"].startswith("tiny-vector-dose0.3")
    assert demo.compare("control").equals(demo.compare())
    assert demo.headline.startswith("No method can be told apart")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda sweep: sweep.compare("vector"), r"said of several cells; name one of Vector \(dose 0\), Vector"),
        (lambda sweep: sweep.compare("nobody"), "no finished cell goes by that; there are Control, Prompting"),
        (lambda sweep: sweep.compare(metrics=["happiness"]), "no measure 'happiness'"),
        (lambda sweep: sweep.plot.heat_map("happiness"), "no measure 'happiness'"),
        (lambda sweep: sweep.plot.account(), "too little to draw"),
        (lambda sweep: sweep.plot.tradeoff(group=1), "group=1: there are 0: model tiny"),
        (lambda sweep: sweep.report("docx"), "there is no format 'docx'; there are html, markdown, latex"),
        (lambda sweep: sweep.measure(Pattern("query", "x")), "already a column of the samples"),
        (lambda sweep: sweep.measure(Nowhere()), "nowhere cannot be measured here: it lacks a telescope"),
        (lambda sweep: mindgap.load(sweep.folder / "no"), "there is no such folder"),
        (lambda sweep: mindgap.load(next(sweep.folder.glob("tiny-*"))), "is one cell"),
        (lambda sweep: mindgap.run(["method=vectr"]), "Did you mean vector"),
        (lambda sweep: mindgap.run({"method": "vector", "taks.limit": 3}), "no such setting"),
        (lambda sweep: mindgap.run(config_dir="/no/such"), "config_dir=/no/such"),
        (lambda sweep: mindgap.run("method=control"), "give a list of settings"),
        (lambda sweep: mindgap.run(["method=control", "-m"]), "flags have no place here"),
        (lambda sweep: mindgap.run({"method": []}), r"method=\[\]: a list is the values to sweep over"),
        (lambda sweep: mindgap.run({"seed": object()}), "seed=<object .*: give a text, a number"),
        (lambda sweep: mindgap.run(["plan=true"]), "plan=true says what would run"),
        (lambda sweep: mindgap.steer(method="vectr"), "Did you mean vector"),
        (lambda sweep: mindgap.steer("tiny,8b"), "tiny,8b: there is no such option"),
        (lambda sweep: mindgap.steer(method="prompt", strength=0.3), "strength=0.3: method=prompt steers nothing"),
        (lambda sweep: mindgap.steer(method="prompt")("Hello", max_tokens=0), "max_tokens must be at least 1"),
    ],
)
def test_a_mistake_is_told_as_on_the_command_line(demo: mindgap.Sweep, ask: Any, words: str) -> None:
    with pytest.raises(mindgap.MindgapError, match=words):
        ask(demo)


def test_figures_and_the_page_of_a_sweep(demo: mindgap.Sweep) -> None:
    assert demo.plot.tradeoff().layout.yaxis.title.text == "Behaviour (1-5)"
    assert {trace.type for trace in demo.plot.distribution("repetition").data} == {"box"}
    rate = demo.plot.distribution("loglik_accuracy").data[0]
    assert list(rate.x) == pytest.approx(demo.metrics.column("loglik_accuracy").to_pylist())
    for figure in (demo.plot.distribution(), demo.plot.heat_map("repetition"), demo.plot.dose("coherence")):
        assert figure.data
    assert demo.report().read_text(encoding="utf-8").startswith("<!doctype html>")
    assert demo.report("markdown").name == "report.md"


def test_cells_of_two_models_are_told_apart_and_never_compared(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for model in ("large", "small"):
        for kind in KINDS[:2]:
            cell = make_cell(folder, kind, queries=("be funny", "be brief"), items=4)
            name = f"{model}-{kind.method}"
            records = tuple(replace(record, model=model) for record in cell.records)
            write_cell(replace(cell, model=model, name=name, folder=folder / name, records=records))
    sweep = mindgap.load(folder)
    rows = sweep.compare("prompt", ["behaviour"]).to_pylist()
    assert [(row["cell"], row["reference"]) for row in rows] == [
        ("large-control", "large-prompt"),
        ("small-control", "small-prompt"),
    ]
    assert [row["cell"] for row in sweep.compare("small-prompt", ["behaviour"]).to_pylist()] == ["small-control"]
    assert all(f"model {model} · judge proxy: " in sweep.headline for model in ("large", "small"))
    assert "model small" in sweep.plot.tradeoff(group=1).layout.title.text


def test_a_notebook_shows_the_headline_and_means_and_takes_nothing_for_markup(tmp_path: Path) -> None:
    sweep = mindgap.load(write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=("be funny",), items=4, hostile=True))
    shown = sweep._repr_html_()
    assert "Behaviour (1-5)" in shown and "<script" not in shown and "<img" not in shown
    assert repr(sweep) == "<mindgap.Sweep study: 2 of 2 cells finished>"


def test_a_measure_is_taken_from_what_was_recorded(demo: mindgap.Sweep) -> None:
    more = demo.measure(Readability())
    assert "readability" in more.metrics.column_names and "readability" not in demo.metrics.column_names
    (row, *_) = more.compare(metrics=["readability"]).to_pylist()
    assert row["n"] + row["missing"] == 24
    assert more.metrics.column("behaviour").to_pylist() == demo.metrics.column("behaviour").to_pylist()
    assert all("readability_missing" in cell.counts for cell in more.cells)


def test_a_measure_of_ones_own_is_a_class_and_can_be_written_again(demo: mindgap.Sweep) -> None:
    first, again = demo.measure(Letters("e")), demo.measure(Letters("e")).measure(Letters("q"))
    assert first.plot.heat_map("letters").data and first.samples.column("letters")[0].as_py() > 0
    shares = [sweep.metrics.column("letters")[0].as_py() for sweep in (first, again)]
    assert shares[0] > shares[1] and again.metrics.column_names == first.metrics.column_names


def test_a_study_runs_in_this_process_and_again_at_no_cost(
    tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {**SMALL, "method": ["control", "prompt"], "sweep": "mine"}
    first = mindgap.run(settings)
    assert [cell.label for cell in first.cells] == ["Control", "Prompting"]
    assert "done    1 of 2  Control" in capsys.readouterr().out
    with pytest.raises(mindgap.ConfigError):
        mindgap.run({**settings, "epochs": 0})
    again = mindgap.run(settings, quiet=True)  # after a mistake, too
    assert capsys.readouterr().out == ""
    assert [cell.counts["made"] for cell in again.cells] == [0, 0]
    assert again.samples.equals(first.samples)
    assert (tmp_path / "outputs" / "mine" / "report.html").is_file()


@pytest.mark.parametrize(
    ("settings", "key", "values"),
    [
        ({"task.limit": [2, 3]}, ("task", "limit"), [2, 3]),
        ({"strength": "dose", "strength.dose": "0.1,0.3"}, ("strength", "dose"), [0.1, 0.3]),
        ({"strength": "dose", "strength.dose": np.array([0.1, 0.3])}, ("strength", "dose"), [0.1, 0.3]),
        (
            {"query_set.queries": [["be brief, please", "don't"]]},
            ("query_set", "queries"),
            [["be brief, please", "don't"]],
        ),
        ({"query_set.queries": [["a"], ["b", "c"]]}, ("query_set", "queries"), [["a"], ["b", "c"]]),
        ({"task.system": ["It's {so}: [1,2] = $x \\\\ \\'"]}, ("task", "system"), ["It's {so}: [1,2] = $x \\\\ \\'"]),
        ({"tracker.entity": [None, "null"], "tracker": "wandb"}, ("tracker", "entity"), [None, "null"]),
        (
            {"query_set.queries": [[{"text": "be kind", "rubric": "5: kind, 1: not"}]]},
            ("query_set", "queries"),
            [[{"text": "be kind", "rubric": "5: kind, 1: not"}]],
        ),
    ],
)
def test_python_values_arrive_as_they_are(settings: dict[str, Any], key: tuple[str, str], values: list[Any]) -> None:
    group, name = key
    assert [job[group][name] for job in jobs_of(written(settings))] == values


def test_a_folder_of_ones_own_and_a_hydra_of_ones_own(tmp_path: Path) -> None:
    before = dict(os.environ)
    own = tmp_path / "it's, mine" / "method"
    own.mkdir(parents=True)
    (own / "shout.yaml").write_text("name: shout\nlabel: Shouting\ninstruction: 'PLEASE {query}!'\n")
    with initialize_config_dir(str(own), version_base="1.3"):
        jobs = jobs_of(["method=control,shout"], own.parent)
        with pytest.raises(mindgap.ConfigError, match="Did you mean shout"):
            mindgap.run(["method=shuot"], config_dir=own.parent)
        assert compose("shout").label == "Shouting"  # the caller's Hydra is as it was
    assert [job["method"]["label"] for job in jobs] == ["Control", "Shouting"]
    assert not GlobalHydra.instance().is_initialized() and set(os.environ) - set(before) <= {"TOKENIZERS_PARALLELISM"}


def test_equal_jobs_are_one_cell_and_a_failed_cell_is_in_the_result(tmp_path: Path) -> None:
    (tmp_path / "conf" / "backend").mkdir(parents=True)
    (tmp_path / "conf" / "backend" / "broken.yaml").write_text("_target_: scripted.Unopened\n")
    sweep = mindgap.run(
        {
            **SMALL,
            "backend": "broken",
            "outputs": [str(tmp_path)],
            "method": ["control", "random"],
            "strength": "dose",
            "strength.dose": [0.1, 0.2],
            "sweep": "failing",
        },
        config_dir=tmp_path / "conf",
        quiet=True,
    )
    assert [cell.label for cell in sweep.cells] == ["Control", "Random", "Random"]
    assert {cell.status for cell in sweep.cells} == {"failed"}
    assert all("nobody is there" in cell.reason for cell in sweep.cells if cell.reason)
    assert sweep.samples.num_rows == 0
    assert sweep.compare().num_rows == 0
    assert "nobody is there" in sweep.headline
    assert "nobody is there" in sweep.report().read_text()
    assert "nobody is there" in sweep._repr_html_()


def test_an_interrupt_ends_the_run_and_leaves_nothing_claimed(tmp_path: Path) -> None:
    (tmp_path / "conf" / "backend").mkdir(parents=True)
    (tmp_path / "conf" / "backend" / "stopped.yaml").write_text("_target_: scripted.Unopened\ninterrupted: true\n")
    settings = {**SMALL, "backend": "stopped", "outputs": [str(tmp_path)], "sweep": "stopped"}
    with pytest.raises(KeyboardInterrupt):
        mindgap.run(settings, config_dir=tmp_path / "conf", quiet=True)
    (cell,) = (tmp_path / "stopped").glob("tiny-*")
    assert [path.name for path in cell.iterdir()] == ["run.log"]


def test_steering_in_three_lines(tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = mindgap.steer("tiny", "prompt", "be funny")
    assert asked.edits == () and asked.dose is None
    both = asked(["What is tea?", "Name a river."], max_tokens=6)
    assert asked("What is tea?", max_tokens=6) == both[0]
    random = mindgap.steer("tiny", "random", "be funny", strength=0.4, task="starter_open")
    assert random.dose == pytest.approx(0.4) and random.edits
    assert random("What is tea?", max_tokens=6) != random.unsteered("What is tea?", max_tokens=6)
    warm = [random("What is tea?", max_tokens=6, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert warm[0] == warm[1] != warm[2]
    nothing = mindgap.steer("tiny", "random", "be funny", strength=0)
    assert nothing("What is tea?", max_tokens=6) == nothing.unsteered("What is tea?", max_tokens=6)
    assert "random: be funny" in repr(random)
    with pytest.raises(mindgap.ConfigError, match="does not know the word 'blorptious'"):
        mindgap.steer("tiny", "autosteer", "be blorptious")("What is tea?")


def test_what_the_model_cannot_do_is_said_before_it_is_loaded() -> None:
    keyless = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", keyless)
        with pytest.raises(mindgap.UnavailableError, match="cannot run on backend=litellm"):
            mindgap.steer("tiny", "vector", "be funny", backend="litellm")
