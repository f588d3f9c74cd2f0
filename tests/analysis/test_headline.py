"""The headline says what the numbers say, and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sweeps import KINDS, QUERIES, Kind, make_cell, with_records

from mindgap.analysis.compute import compare
from mindgap.analysis.headline import headline
from mindgap.results.sweep import groups

CONTROL, PROMPT = KINDS[:2]
GENTLE = Kind("gentle", "Gentle", behaviour=1.3)


def said(*kinds: Kind, items: int = 25) -> str:
    (group,) = groups([make_cell(Path("study"), kind, queries=QUERIES, items=items) for kind in kinds])
    return headline(compare(group))


def test_a_clear_gain_and_a_clear_cost_are_stated_with_their_intervals() -> None:
    heavy = Kind("shout", "Shouting", behaviour=2.0, coherence=1.5, accuracy=0.4)
    text = said(CONTROL, GENTLE, heavy)
    assert text.startswith("Shouting brings the most of the behaviour, +")
    assert "over Control, and costs" in text and "percentage points of accuracy" in text
    assert "With no sign of a loss, Gentle brings the most: +1." in text


def test_a_cost_that_cannot_be_seen_is_called_that() -> None:
    text = said(CONTROL, GENTLE)
    assert text.startswith("Gentle brings the most") and "no cost can be seen in" in text
    assert "costs 0" not in text


def test_methods_that_do_nothing_cannot_be_told_apart() -> None:
    text = said(CONTROL, Kind("random", "Random"), Kind("calm", "Calm"))
    assert text.startswith("No method can be told apart from Control")
    assert "brings" not in text and "would probably have been seen" in text


def test_a_loss_without_a_gain_is_not_passed_over() -> None:
    text = said(CONTROL, Kind("noise", "Noise", coherence=2.0, accuracy=0.5))
    assert text.startswith("Noise cannot be told apart from Control") and text.endswith("Noise clearly cost something.")


def test_one_cell_is_compared_with_nothing() -> None:
    text = said(CONTROL, items=5)
    assert "one finished cell, Control" in text and "behaviour 2." in text


def test_without_behaviour_scores_nothing_is_said_about_behaviour() -> None:
    cells = [make_cell(Path("study"), kind, queries=QUERIES[:3], items=4) for kind in (CONTROL, PROMPT)]
    blind = []
    for cell in cells:
        blind.append(with_records(cell, (replace(r, behaviour=None, behaviour_missing="no key") for r in cell.records)))
    (group,) = groups(blind)
    assert "cannot be said" in headline(compare(group))
