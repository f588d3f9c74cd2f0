"""comparison.json: the numbers are right, whole, strict JSON, and all described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweeps import KINDS, make_cell, with_records

from mindgap.analysis.compute import compare
from mindgap.analysis.schema import comparison_json
from mindgap.results.cell import CellResult
from mindgap.results.sweep import SweepResults, grouped

DOCUMENTED = Path(__file__).resolve().parents[2] / "docs" / "comparison-json.md"


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def document(cells: list[CellResult]) -> Any:
    sweep = SweepResults(Path("study"), grouped(cells))
    return strict(comparison_json(sweep, [compare(group) for group in sweep.groups]))


@pytest.fixture(scope="module")
def study() -> Any:
    """14 queries × 40 items of every kind of cell, whose truth is known."""
    (group,) = document([make_cell(Path("study"), kind) for kind in KINDS])["groups"]
    return group


def test_the_true_effects_are_found(study: Any) -> None:
    by_name = {cell["cell"]: cell for cell in study["cells"]}
    prompt = by_name["tiny-prompt-none"]["differences"]
    assert prompt["behaviour"]["clear"] and prompt["behaviour"]["value"] == pytest.approx(1.3, abs=0.15)
    assert not prompt["accuracy"]["clear"]  # 2 points: too little for 560 pairs
    strong = by_name["tiny-vector-dose0.4"]
    assert strong["differences"]["accuracy"]["clear"]
    assert strong["differences"]["accuracy"]["low"] < -0.2 < strong["differences"]["accuracy"]["high"]
    assert strong["non_inferior"]["verdict"] == "harmed"
    assert strong["front"]["probability"] < 0.05  # Combined at a lower dose beats it in everything


def test_the_account_of_accuracy_adds_up(study: Any) -> None:
    for cell in study["cells"][1:]:
        parts = cell["account"]
        assert parts["total"]["value"] == pytest.approx(parts["format"]["value"] + parts["wrong"]["value"])
        assert parts["wrong"]["value"] == pytest.approx(parts["knowledge"]["value"] + parts["expression"]["value"])
        assert parts["total"]["value"] == pytest.approx(-cell["differences"]["accuracy"]["value"])


def test_adjusted_p_values_are_never_below_the_plain_ones(study: Any) -> None:
    differences = [difference for cell in study["cells"] for difference in cell["differences"].values()]
    assert len(differences) == 7 * len(study["cells"][0]["metrics"])
    assert all(test["p"] <= test["p_bh"] + 1e-12 <= test["p_holm"] + 2e-12 for test in differences)


def test_missing_scores_are_counted_and_bounded(study: Any) -> None:
    prompt = study["cells"][1]["differences"]["behaviour"]
    assert prompt["missing"] > 0 and prompt["n"] + prompt["missing"] == 560
    assert prompt["lowest"] < prompt["value"] < prompt["highest"]


def test_strengths_and_combinations_are_found_in_the_configurations(study: Any) -> None:
    coherence = {fit["label"]: fit for fit in study["dose_responses"] if fit["metric"] == "coherence"}
    assert set(coherence) == {"Vector", "Combined"}
    assert coherence["Vector"]["doses"] == [0, 0.1, 0.2, 0.4] and coherence["Vector"]["slope"]["high"] < 0
    behaviour = [interaction for interaction in study["interactions"] if interaction["metric"] == "behaviour"]
    assert {interaction["cell"] for interaction in behaviour} == {
        f"tiny-combined-dose{dose}" for dose in (0.1, 0.2, 0.4)
    }
    estimates = [interaction["estimate"] for interaction in behaviour]
    assert all(estimate["low"] < 0.2 and estimate["high"] > -0.2 for estimate in estimates)  # truly about 0


def test_the_same_samples_give_the_same_document() -> None:
    cells = [make_cell(Path("study"), kind, queries=("be funny", "be terse"), items=4) for kind in KINDS[:3]]
    assert document(cells) == document(cells[::-1])


def test_a_cell_whose_every_reply_is_that_of_the_reference_differs_by_nothing() -> None:
    control = make_cell(Path("study"), KINDS[0], queries=("be funny", "be terse"), items=8)
    steered_by_nothing = replace(
        control,
        name="tiny-vector-dose0",
        method="vector",
        label="Vector",
        strength="dose0",
        records=tuple(replace(record, method="vector", strength="dose0") for record in control.records),
    )
    compared = compare(grouped([control, steered_by_nothing])[0])
    (other,) = compared.others
    for tested in other.differences.values():
        estimate = tested.difference.estimate
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)
    changed = replace(control.records[0], coherence=1.0, behaviour=1.0)
    nearly = replace(steered_by_nothing, records=(changed, *steered_by_nothing.records[1:]))
    (other,) = compare(grouped([control, nearly])[0]).others
    assert other.differences["answered"].difference.estimate.high > 0  # some sample differs: nothing is certain


@pytest.mark.parametrize("lost", ["behaviour", "coherence", "error", "gold"])
def test_a_study_that_lacks_something_altogether_still_gives_a_document(lost: str) -> None:
    def without(cell: CellResult) -> CellResult:
        changes: dict[str, Any] = {lost: None}
        if lost == "error":
            scores = dict.fromkeys(("behaviour", "coherence", "answer", "correct"))
            changes = {
                **scores,
                "behaviour_missing": "no reply",
                "coherence_missing": "no reply",
                "error": "the server said no",
                "response": "",
                "finish_reason": "error",
            }
        if lost == "gold":
            changes = {"gold": None, "correct": None, "answer": None, "loglik_correct": None, "unparsed": None}
        if lost in ("behaviour", "coherence"):
            changes[f"{lost}_missing"] = "no key"
        return with_records(cell, (replace(record, **changes) for record in cell.records))

    cells = [make_cell(Path("study"), kind, queries=("be funny", "be terse"), items=4) for kind in KINDS[:4]]
    (group,) = document([without(cell) for cell in cells])["groups"]
    assert group["headline"]
    if lost == "gold":
        assert "accuracy" not in group["cells"][1]["differences"] and group["cells"][1]["account"] is None
    if lost == "behaviour":
        assert group["cells"][1]["differences"]["behaviour"]["value"] is None and group["best"] is None


def test_failed_cells_are_in_the_document_with_their_reason() -> None:
    good, bad = (make_cell(Path("study"), kind, queries=("be funny", "be terse"), items=4) for kind in KINDS[:2])
    bad = replace(bad, status="failed", reason="no memory", records=(), metrics={}, counts={})
    (group,) = document([good, bad])["groups"]
    assert [cell["reason"] for cell in group["cells"]] == [None, "no memory"]
    (alone,) = document([replace(good, status="failed", reason="disk full", records=(), metrics={}, counts={}), bad])[
        "groups"
    ]
    assert "no cell finished" in alone["headline"]


def test_every_field_is_described(study: Any) -> None:
    described = set(re.findall(r"`(\w+)`", DOCUMENTED.read_text(encoding="utf-8")))
    named_by_data = {"metrics", "differences", "counts", "chances", "detectable", "values", "changes"}

    def keys(node: Any, inside: str = "") -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if inside not in named_by_data:
                    yield key
                yield from keys(value, key)
        elif isinstance(node, list):
            for element in node:
                yield from keys(element, inside)

    assert set(keys(study)) - described == set()
