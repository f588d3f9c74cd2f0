"""The public door: what a notebook gets from `import mindgap`."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweeps import KINDS, write_sweep

import mindgap
from mindgap.measures.readability import Readability

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
            if not member.startswith("_"):
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


def test_a_comparison_with_the_usual_reference_and_with_another(demo: mindgap.Sweep) -> None:
    rows = demo.compare(metrics=["behaviour"]).to_pylist()
    assert len(rows) == 7 and {row["reference"] for row in rows} == {"Control"}
    against = demo.compare("Prompting", ["behaviour"]).to_pylist()
    control = next(row for row in against if row["cell"] == "Control")
    prompting = next(row for row in rows if row["cell"] == "Prompting")
    assert control["value"] == pytest.approx(-prompting["value"])
    assert demo.headline.startswith("No method can be told apart")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda sweep: sweep.compare("Vector"), "is said of several cells; name one of tiny-vector"),
        (lambda sweep: sweep.compare("nobody"), "no finished cell goes by that; there are tiny-control"),
        (lambda sweep: sweep.compare(metrics=["happiness"]), "no measure 'happiness'"),
        (lambda sweep: sweep.plot.heat_map("happiness"), "no measure 'happiness'"),
        (lambda sweep: sweep.plot.account(), "too little to draw"),
        (lambda sweep: mindgap.load(sweep.folder / "no"), "there is no such folder"),
        (lambda sweep: mindgap.load(next(sweep.folder.glob("tiny-*"))), "is one cell"),
        (lambda sweep: mindgap.run(["method=vectr"]), "Did you mean vector"),
        (lambda sweep: mindgap.run({"method": "vector", "taks.limit": 3}), "no such setting"),
        (lambda sweep: mindgap.run(config_dir="/no/such"), "config_dir=/no/such"),
        (lambda sweep: mindgap.steer(method="vectr"), "Did you mean vector"),
    ],
)
def test_a_mistake_is_told_as_on_the_command_line(demo: mindgap.Sweep, ask: Any, words: str) -> None:
    with pytest.raises(mindgap.MindgapError, match=words):
        ask(demo)


def test_figures_and_the_page_of_a_sweep(demo: mindgap.Sweep) -> None:
    assert demo.plot.tradeoff().layout.yaxis.title.text == "Behaviour (1-5)"
    for figure in (demo.plot.distribution(), demo.plot.heat_map("repetition"), demo.plot.dose("coherence")):
        assert figure.data
    assert demo.report().read_text(encoding="utf-8").startswith("<!doctype html>")
    assert demo.report("markdown").name == "report.md"


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


def test_a_study_runs_in_this_process_and_again_at_no_cost(
    tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {**SMALL, "method": ["control", "prompt"], "sweep": "mine"}
    first = mindgap.run(settings)
    assert [cell.label for cell in first.cells] == ["Control", "Prompting"]
    assert "done    Control" in capsys.readouterr().out
    with pytest.raises(mindgap.ConfigError):
        mindgap.run({**settings, "epochs": 0})
    again = mindgap.run(settings, quiet=True)  # after a mistake, too
    assert capsys.readouterr().out == ""
    assert [cell.counts["made"] for cell in again.cells] == [0, 0]
    assert again.samples.equals(first.samples)
    assert (tmp_path / "outputs" / "mine" / "report.html").is_file()


def test_steering_in_three_lines(tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = mindgap.steer("tiny", "prompt", "be funny")
    assert asked.edits == () and asked.dose is None
    both = asked(["What is tea?", "Name a river."], max_tokens=6)
    assert asked("What is tea?", max_tokens=6) == both[0]
    random = mindgap.steer("tiny", "random", "be funny", strength=0.4, task="starter_open")
    assert random.dose == pytest.approx(0.4) and random.edits
    assert random("What is tea?", max_tokens=6) != random.unsteered("What is tea?", max_tokens=6)
    nothing = mindgap.steer("tiny", "random", "be funny", strength=0)
    assert nothing("What is tea?", max_tokens=6) == nothing.unsteered("What is tea?", max_tokens=6)
    assert "random: be funny" in repr(random)


def test_what_the_model_cannot_do_is_said_before_it_is_loaded() -> None:
    keyless = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", keyless)
        with pytest.raises(mindgap.UnavailableError, match="cannot run on backend=litellm"):
            mindgap.steer("tiny", "vector", "be funny", backend="litellm")
