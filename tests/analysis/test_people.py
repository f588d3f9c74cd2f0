"""From ratings to a sweep's anchored estimates: on the terminal, in files and in the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import KINDS, QUERIES, compared, write_reports, write_sweep

from mindgap.analysis.people import anchor_sweep
from mindgap.annotate.__main__ import main
from mindgap.results.cards import cards_of, place_of
from mindgap.results.files import write_cell
from mindgap.results.rating_plan import planned
from mindgap.results.ratings import Rating, append
from mindgap.results.sweep import read_sweep

OFF = 0.75
"""How far the judge's behaviour scores lie above what people say."""


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """A sweep of which two people rated a part. The judge sees too much behaviour; on coherence all agree."""
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:3], queries=QUERIES[:5], items=12)
    sweep = read_sweep(folder)
    cards = cards_of(sweep)
    records = {record.key: record for cell in sweep.cells for record in cell.records}
    for rater in ("anna", "ben"):
        plan = planned(folder, rater, cards, samples=60, overlap=0.5)
        for card in plan.deck(rater, cards):
            record = records[cards.samples[card.key][0]]
            append(folder, Rating(rater, card.key, cards.samples[card.key], *_said(record.behaviour, record.coherence)))
    for cell in sweep.cells:
        shifted = [replace(r, behaviour=r.behaviour and min(5.0, r.behaviour + OFF)) for r in cell.records]
        write_cell(replace(cell, records=tuple(shifted)))
    return folder


def _said(behaviour: float | None, coherence: float | None) -> tuple[int, int]:
    return int(behaviour or 3), int(coherence or 3)


def test_the_judges_bias_is_taken_out_and_agreement_is_told(rated: Path) -> None:
    (group,) = anchor_sweep(read_sweep(rated), resamples=200)
    assert group.judges == ("proxy",) and set(group.ratings) == {"anna", "ben"}
    assert all(45 <= count <= 60 for count in group.ratings.values())
    means = {one.cell: one.told for one in group.means if one.metric == "behaviour"}
    for told in means.values():
        assert told.judge.value - told.anchored.value == pytest.approx(OFF, abs=0.15)
        assert told.anchored.low < told.anchored.value < told.anchored.high < told.judge.value + 0.5
    pairs = {(one.one, one.other, one.metric): one.agreement for one in group.compared}
    assert pairs["anna", "ben", "behaviour"].alpha.value == 1
    assert pairs["proxy", "people", "coherence"].spearman.value > 0.95
    assert pairs["proxy", "people", "behaviour"].kappa.value < 0.95
    # What a judge adds to all cells alike is no difference between them.
    for one in group.differences:
        assert one.told.anchored.value == pytest.approx(one.told.judge.value, abs=0.2)


def test_ratings_of_places_that_were_not_drawn_do_not_count(rated: Path) -> None:
    before = anchor_sweep(read_sweep(rated), resamples=50)
    sweep = read_sweep(rated)
    plan = planned(rated, "anna", cards_of(sweep), samples=60)
    other = next(r for cell in sweep.cells for r in cell.records if place_of(r) not in plan.drawn)
    append(rated, Rating("anna", "x", [other.key], 5, 5))
    after = anchor_sweep(read_sweep(rated), resamples=50)
    assert [one.told.anchored for one in after[0].means] == [one.told.anchored for one in before[0].means]


def test_a_silenced_model_is_not_flattered_by_leaving_its_silence_out(rated: Path) -> None:
    sweep = read_sweep(rated)
    cell = sweep.cells[1]
    silent = [
        replace(r, response="", coherence=1.0, behaviour=None, behaviour_missing="empty response") if k % 2 else r
        for k, r in enumerate(cell.records)
    ]
    name = sweep.groups[0].name(cell)
    write_cell(replace(cell, records=tuple(silent)))
    (group,) = anchor_sweep(read_sweep(rated), resamples=50)
    (told,) = (one.told for one in group.means if one.cell == name and one.metric == "coherence")
    assert told.anchored.value == pytest.approx(told.judge.value, abs=0.3)
    assert told.anchored.value < 3.5


def test_the_summary_is_printed_and_written(rated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(rated), "--summary"]) == 0
    printed = capsys.readouterr().out
    assert "Judge corrected by people" in printed and "anna and ben" in printed and "Prompting" in printed
    data = json.loads((rated / "anchored.json").read_text())
    assert data["draw"]["probability"] == pytest.approx(data["draw"]["drawn"] / 60)
    (group,) = data["groups"]
    assert {one["metric"] for one in group["means"]} == {"behaviour", "coherence"}
    assert set(group["means"][0]["told"]) == {"anchored", "people", "judge", "power", "ratings"}
    assert "| cell |" in (rated / "anchored.md").read_text()


def test_the_report_has_the_section_where_people_rated_and_only_there(rated: Path, tmp_path: Path) -> None:
    (page,) = write_reports(rated)
    assert "Anchored in people&#39;s ratings" in page.read_text()
    other = compared(write_sweep(tmp_path / "other", kinds=KINDS[:2], queries=QUERIES[:3], items=5))
    assert other.groups[0].people is None
