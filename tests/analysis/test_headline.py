"""The headline says what the numbers say, and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sweeps import KINDS, QUERIES, Kind, make_cell, with_records

from mindgap.analysis.compute import compare
from mindgap.analysis.headline import headline
from mindgap.core.records import Record
from mindgap.results.sweep import grouped

CONTROL, PROMPT = KINDS[:2]
GENTLE = Kind("gentle", "Gentle", behaviour=1.3)


def headline_of(*kinds: Kind, items: int = 25, queries: tuple[str, ...] = QUERIES) -> str:
    (group,) = grouped([make_cell(Path("study"), kind, queries=queries, items=items) for kind in kinds])
    return headline(compare(group))


def with_score(record: Record, behaviour: float) -> Record:
    return replace(record, behaviour=behaviour, behaviour_missing=None)


def test_a_clear_gain_and_a_clear_cost_are_stated_with_their_intervals() -> None:
    heavy = Kind("shout", "Shouting", behaviour=2.0, coherence=1.5, accuracy=0.4)
    text = headline_of(CONTROL, GENTLE, heavy)
    assert text.startswith("Losing at most 3 points of accuracy against Control, Gentle brings the most")
    assert "At any price, Shouting brings the most of the behaviour, +" in text
    assert "over Control, and costs" in text and "percentage points of accuracy" in text


def test_a_cost_that_cannot_be_seen_is_called_that() -> None:
    text = headline_of(CONTROL, GENTLE)
    assert "Gentle brings the most" in text and "It shows no cost in" in text
    assert "costs 0" not in text


def test_methods_that_do_nothing_cannot_be_told_apart() -> None:
    text = headline_of(CONTROL, Kind("random", "Random"), Kind("calm", "Calm"))
    assert text.startswith("No method can be told apart from Control")
    assert "brings" not in text and "would probably have been seen" in text


def test_a_method_that_lowers_the_behaviour_is_not_said_to_be_like_the_reference() -> None:
    text = headline_of(Kind("control", "Control", behaviour=1.0), Kind("dull", "Dull", behaviour=-0.5))
    assert text.startswith("Dull does not raise the behaviour over Control: the change is −")
    assert "cannot be told apart" not in text and "would probably have been seen" not in text


def test_a_loss_without_a_gain_is_not_passed_over() -> None:
    text = headline_of(CONTROL, Kind("noise", "Noise", coherence=2.0, accuracy=0.5))
    assert text.startswith("Noise does not raise the behaviour over Control") and "Noise clearly costs" in text
    assert "points of coherence (" in text and "percentage points of accuracy (" in text


def test_a_clear_cost_is_told_also_of_a_cell_that_is_not_the_best() -> None:
    best, heavy = Kind("gentle", "Gentle", behaviour=1.5), Kind("shout", "Shouting", behaviour=1.0, coherence=1.5)
    text = headline_of(CONTROL, best, heavy)
    assert "Gentle brings the most" in text and "Shouting clearly costs 1." in text
    several = headline_of(CONTROL, best, heavy, Kind("noise", "Noise", coherence=2.0))
    assert "Noise and Shouting clearly cost something." in several


def test_one_cell_is_compared_with_nothing() -> None:
    text = headline_of(CONTROL, items=5)
    assert "one finished cell, Control" in text and "behaviour 2." in text


def test_without_behaviour_scores_nothing_is_said_about_behaviour() -> None:
    cells = [make_cell(Path("study"), kind, queries=QUERIES[:3], items=4) for kind in (CONTROL, PROMPT)]
    blind = []
    for cell in cells:
        blind.append(with_records(cell, (replace(r, behaviour=None, behaviour_missing="no key") for r in cell.records)))
    (group,) = grouped(blind)
    assert "cannot be said" in headline(compare(group))


def test_from_few_queries_the_answer_is_for_these_queries() -> None:
    text = headline_of(CONTROL, GENTLE, queries=QUERIES[:3])
    assert "Gentle brings" in text and text.endswith(
        "This is for these 3 queries: fewer than 6 say little about others."
    )
    assert "This is for" not in headline_of(CONTROL, GENTLE)


def test_no_change_is_promised_that_the_scale_does_not_hold() -> None:
    """Two items that disagree by the whole scale: what they could have shown lies beyond it."""
    cells = [make_cell(Path("study"), kind, queries=QUERIES[:1], items=2) for kind in (CONTROL, Kind("calm", "Calm"))]
    scores = {"control": (1.0, 5.0), "calm": (5.0, 2.0)}
    scored = []
    for cell in cells:
        pair = scores[cell.method]
        records = (with_score(record, value) for record, value in zip(cell.records, pair, strict=True))
        scored.append(with_records(cell, records))
    (group,) = grouped(scored)
    text = headline(compare(group))
    assert "No change that this scale allows would have been found with 1 queries × 2 items" in text
    assert "would find 1.00" in text and "would probably have been seen" not in text


def test_equal_changes_everywhere_promise_nothing() -> None:
    cells = [make_cell(Path("study"), kind, queries=QUERIES[:1], items=2) for kind in (CONTROL, Kind("calm", "Calm"))]
    scored = [
        with_records(cell, (with_score(record, 2.0 + 2 * place) for record in cell.records))
        for place, cell in enumerate(cells)
    ]
    (group,) = grouped(scored)
    text = headline(compare(group))
    assert "the change is +2.00 points of 5 (no interval)" in text and "would" not in text
