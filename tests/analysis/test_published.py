"""Our cells beside the paper's figures: like with like, and what cannot be trusted is marked."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sweeps import MEASURES, measured_again

from mindgap.analysis.published import Against, against_paper, read_published
from mindgap.core.errors import ConfigError
from mindgap.core.records import Record
from mindgap.presentation.published_tables import against_tables, print_against
from mindgap.presentation.tables import markdown
from mindgap.results.cell import CellResult

PAPER = read_published()
QUERIES = tuple(PAPER.models["8b"]["queries"])
METHODS = ("control", "prompt", "autosteer", "combined")


def record(method: str, query: str, number: int, **changes: Any) -> Record:
    values: dict[str, Any] = dict.fromkeys(Record.__dataclass_fields__)
    values |= {
        "key": f"{method} {query} {number}",
        "model": "8b",
        "method": method,
        "strength": "none",
        "query": query,
        "item": f"item {number}",
        "subject": "",
        "epoch": 0,
        "response": "r",
        "gold": "A",
        "answer": "A",
        "correct": number % 2 == 0,
        "behaviour": 2.0 + number % 2,
        "coherence": 4.0,
        "option_logprobs": (),
        "measures": {},
        "edits": (),
    }
    return measured_again([Record(**{**values, **changes})])[0]


@pytest.fixture
def cell(tmp_path: Path) -> Callable[..., CellResult]:
    def make(method: str = "control", queries: tuple[str, ...] = QUERIES, **changes: Any) -> CellResult:
        records = tuple(record(method, query, number) for query in queries for number in range(4))
        settings: dict[str, Any] = {
            "name": f"8b-{method}",
            "sweep": "s",
            "model": "8b",
            "method": method,
            "label": method.title(),
            "strength": "none",
            "judge": "gpt-4o-mini",
            "status": "finished",
            "config": {"task": {"name": "mmlu_paper"}},
            "measures": MEASURES,
            "records": records,
        }
        return CellResult(folder=tmp_path, **{**settings, **changes})

    return make


Cell = Callable[..., CellResult]


def line(against: Against, metric: str, query: str | None = None, method: str = "control", model: str = "Llama-3.1"):  # type: ignore[no-untyped-def]
    (match,) = (
        line
        for line in against.lines
        if (line.measure.name, line.query, line.method) == (metric, query, method)
        and line.published_model.startswith(model)
    )
    return match


def test_the_figures_are_the_papers(shared: Path) -> None:
    theirs = json.loads((shared / "data" / "paper" / "table.json").read_text())
    for model, entry in PAPER.models.items():
        assert entry["model"] == theirs["summary"][model]["model"]
        for method in METHODS:
            ours, summary = entry["all_queries"][method], theirs["summary"][model][method]
            assert {key.replace("behaviour", "behavior"): value for key, value in ours.items()} == summary
        assert set(entry["queries"]) == set(theirs["per_query"][model])
        for query, figures in theirs["per_query"][model].items():
            for method in METHODS:
                ours = entry["queries"][query][method]
                assert ours["behaviour"] == figures["behavior"][method]
                assert ours["coherence"] == figures["coherence"][method]
                assert ours["accuracy"] * 100 == pytest.approx(figures["accuracy_percent"][method])


def test_every_figure_is_there_for_both_models_four_methods_and_14_queries() -> None:
    assert set(PAPER.models) == {"8b", "70b"}
    for entry in PAPER.models.values():
        assert len(entry["queries"]) == 14
        for figures in [entry["all_queries"], *entry["queries"].values()]:
            assert tuple(figures) == METHODS
            for values in figures.values():
                assert 1 <= values["behaviour"] <= 5
                assert 1 <= values["coherence"] <= 5
                assert 0 <= values["accuracy"] <= 1


def test_flagged_are_exactly_the_accuracies_that_lost_a_row() -> None:
    """171 questions give multiples of 1/171. What is none rests on fewer, and the n per method says by how many."""
    lost = set()
    for model, entry in PAPER.models.items():
        for method in METHODS:
            short = [
                query
                for query, figures in entry["queries"].items()
                if figures[method]["accuracy"] not in {round(right / 171, 3) for right in range(172)}
            ]
            assert len(short) == 14 * 171 - entry["all_queries"][method]["n"]
            lost |= {(model, method, query, "accuracy") for query in short}
    flagged = {(flag["model"], flag["method"], flag["query"], flag["metric"]) for flag in PAPER.flags}
    assert flagged == lost
    assert ("8b", "control", "be skeptical and analytical", "accuracy") in flagged


def test_over_all_queries_and_for_each_of_the_14_in_the_papers_metrics(cell: Cell) -> None:
    against = against_paper([cell("control"), cell("prompt")])
    assert len(against.lines) == 2 * 3 * 15
    whole = line(against, "behaviour")
    assert (whole.ours.value, whole.published, whole.queries) == (2.5, 2.782, 14)
    assert whole.difference == pytest.approx(2.5 - 2.782)
    assert line(against, "accuracy", "be funny", "prompt").published == pytest.approx(0.637)
    assert line(against, "accuracy", "be funny", "prompt").ours.value == 0.5
    assert line(against, "accuracy", "be funny", "prompt").ours.n == 4


def test_the_artefact_is_marked_and_so_is_what_contains_it(cell: Cell) -> None:
    against = against_paper([cell("control"), cell("prompt")])
    assert "artefact" in line(against, "accuracy", "be skeptical and analytical").flag
    assert line(against, "accuracy").flag == "contains 'be skeptical and analytical'"
    assert not line(against, "behaviour", "be skeptical and analytical").flag
    assert not line(against, "accuracy", method="prompt").flag
    tables = {table.key: markdown(table) for table in against_tables(against)}
    assert "0.259†" in tables["against-llama-3-1-8b-instruct-accuracy"]
    assert "0.641†" in tables["against-llama-3-1-8b-instruct"]
    assert "share of 170" in tables["against-llama-3-1-8b-instruct"]
    assert "†" not in tables["against-llama-3-1-8b-instruct-behaviour"]


def test_fewer_queries_are_compared_with_the_same_ones_of_the_paper(cell: Cell) -> None:
    some = ("be funny", "be concise and direct", "be something else")
    against = against_paper([cell("prompt", some)])
    whole = line(against, "behaviour", method="prompt")
    assert whole.queries == 2
    assert whole.published == pytest.approx((1.1 + 3.3) / 2)
    assert whole.ours.n == 8, "the query that the paper has not is not in our mean either"
    assert any("2 of 14" in caveat for caveat in against.caveats)


def test_what_has_no_counterpart_is_left_out_by_name_with_the_reason(cell: Cell) -> None:
    failed = cell("prompt", status="failed", records=())
    against = against_paper([cell("vector"), failed, cell("control", ("be brave",))])
    assert not against.lines
    assert set(against.left_out) == {
        "8b Prompt: it failed",
        "8b Control: no query in common",
        "8b Vector: no such method there",
    }
    screen = io.StringIO()
    print_against(Console(file=screen, width=200), against)
    assert "no such method there" in screen.getvalue()


def test_another_model_stands_beside_both_and_says_so(cell: Cell) -> None:
    against = against_paper([cell(model="tiny", judge="proxy-tiny", config={"task": {"name": "starter"}})])
    assert {line.published_model for line in against.lines} == {"Llama-3.1-8B-Instruct", "Llama-3.3-70B-Instruct"}
    caveats = " ".join(against.caveats)
    assert "gpt-4o-mini there and by proxy-tiny here" in caveats
    assert "mmlu_paper there, starter here" in caveats
    assert "tiny is none of the study's" in caveats


def test_the_same_study_again_has_nothing_to_be_warned_of(cell: Cell) -> None:
    assert against_paper([cell("control"), cell("prompt")]).caveats == ()


def test_a_contaminated_recording_is_said_to_be_one(cell: Cell) -> None:
    against = against_paper([cell("autosteer", counts={"found_contaminated": 56})])
    assert against.caveats == ("Autosteer: 56 of its samples carry the instruction of another method.",)


def test_rounding_of_single_figures_is_allowed_for(cell: Cell) -> None:
    """A published 4.6 may have been 4.55: our interval around 4.57 does not contradict it, one around 4.5 does."""
    query = "be funny"
    for mean, inside in ((4.57, True), (4.5, False)):
        records = tuple(record("control", query, n, coherence=mean + 0.001 * (n % 2)) for n in range(4))
        beside = line(against_paper([cell(records=records)]), "coherence", query)
        assert beside.published == 4.6
        assert beside.ours.high is not None and beside.ours.high < 4.6
        assert beside.inside is inside


def test_tables_hold_every_line_and_the_terminal_shows_them(cell: Cell) -> None:
    against = against_paper([cell("control"), cell("combined", strength="native")])
    tables = against_tables(against)
    assert len(tables) == 1 + 3  # over all queries; behaviour, coherence and accuracy by query
    assert [row[0] for row in tables[0].rows] == ["Control", "Combined native"]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert [len(table.rows) for table in tables[1:]] == [14, 14, 14]
    screen = io.StringIO()
    print_against(Console(file=screen, width=220), against)
    printed = screen.getvalue()
    assert "be misleading and ambiguous" in printed
    assert "[" in printed and "2602.04903" in printed


def test_figures_of_another_study_may_be_given_as_a_file(cell: Cell, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    figures = {"behaviour": 3.0, "coherence": 3.0, "accuracy": 0.5}
    other = {
        "source": "Another study",
        "judge": "j",
        "task": "t",
        "precision": {"all_queries": 0.01, "behaviour": 0.01, "coherence": 0.01, "accuracy": 0.01},
        "models": {
            "m": {"model": "M", "all_queries": {"vector": figures}, "queries": {"be funny": {"vector": figures}}}
        },
    }
    path.write_text(json.dumps(other))
    against = against_paper([cell("vector")], read_published(str(path)))
    assert line(against, "behaviour", method="vector", model="M").published == 3.0
    path.write_text('{"source": 1}')
    with pytest.raises(ConfigError, match="not laid out like"):
        read_published(str(path))
    with pytest.raises(ConfigError, match="say paper"):
        read_published("papre")


VECTOR = {"_target_": "mindgap.steering.vectors.DifferenceInMeans"}
FEATURES = {"_target_": "mindgap.steering.autosteer.AutoSteer"}
CAVEAT = "Combined: an instruction with Auto Steer's features there, with an activation vector here."


@pytest.mark.parametrize(
    ("method", "warned"),
    [
        ({"label": "Combined", "interventions": [VECTOR]}, True),
        ({"label": "Combined", "interventions": [FEATURES]}, False),
        ({"label": "Combined (no vector)", "interventions": [FEATURES]}, False),
        ({"label": "Combined", "interventions": [{"_target_": "mindgap.steering.vectors.RandomDirection"}]}, True),
        ({"label": "Combined vector", "interventions": []}, False),
        ({"label": "Combined", "interventions": [{"_target_": "somebodys.vector.Steering"}]}, False),
        ({"label": "Combined"}, False),
    ],
)
def test_what_combined_combines_is_told_by_what_its_interventions_need(
    cell: Cell, method: dict[str, Any], warned: bool
) -> None:
    node = {"_target_": "mindgap.methods.Method", "name": "combined", **method}
    against = against_paper([cell("combined", config={"task": {"name": "mmlu_paper"}, "method": node})])
    assert (CAVEAT in against.caveats) is warned
    assert CAVEAT not in against_paper([cell("combined")]).caveats, "a cell without a configuration"
