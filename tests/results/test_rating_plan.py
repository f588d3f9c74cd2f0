"""What is drawn: every place as likely, cells alike, nobody's work lost, and the same seed draws the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sweeps import KINDS, QUERIES, make_cell

from mindgap.core.errors import ConfigError
from mindgap.results.cards import Cards, cards_of, place_of
from mindgap.results.rating_plan import RatingPlan, drawing_order, planned, read_plan, with_rater
from mindgap.results.ratings import Rating, append_rating, read_ratings
from mindgap.results.sweep import SweepResults, grouped

PLACES = [(query, f"item {number}", 0) for query, size in (("a", 4), ("b", 8), ("c", 12)) for number in range(size)]


def cards(items: int = 10) -> Cards:
    cells = [make_cell(Path("x"), kind, queries=QUERIES[:4], items=items) for kind in KINDS[:3]]
    return cards_of(SweepResults(Path("x"), grouped(cells)))


def test_every_place_is_drawn_equally_often_in_the_long_run() -> None:
    draws = 4000
    counts = Counter(place for seed in range(draws) for place in drawing_order(PLACES, seed)[:6])
    shares = np.array([counts[place] / draws for place in PLACES])
    assert np.abs(shares - 6 / len(PLACES)).max() < 0.035  # 5 standard errors


def test_any_piece_from_the_front_holds_queries_by_their_size() -> None:
    for seed in range(20):
        drawn = drawing_order(PLACES, seed)
        for length in (6, 12, 18):
            counts = Counter(place[0] for place in drawn[:length])
            assert all(abs(counts[q] - length * size / 24) <= 1.5 for q, size in (("a", 4), ("b", 8), ("c", 12)))


def test_every_cell_gets_equally_many_ratings() -> None:
    all_cards = cards()
    plan = with_rater(RatingPlan(0, 0.3, len(all_cards.by_place)), "anna", 30, all_cards)
    shown = {card.key for card in plan.deck("anna", all_cards)}
    per_cell = Counter(number for number, _ in _cells_of(all_cards, shown))
    assert set(per_cell.values()) == {10}


def _cells_of(all_cards: Cards, shown: set[str]) -> list[tuple[int, str]]:
    cells = [make_cell(Path("x"), kind, queries=QUERIES[:4], items=10) for kind in KINDS[:3]]
    return [
        (number, record.key)
        for number, cell in enumerate(cells)
        for record in cell.records
        if all_cards.by_record[record.key].key in shown
    ]


def test_people_share_the_overlap_and_nothing_else() -> None:
    all_cards = cards()
    plan = RatingPlan(0, 0.4, len(all_cards.by_place))
    for rater in ("anna", "ben", "cem"):
        plan = with_rater(plan, rater, 30, all_cards)
    places = [set(plan.raters[rater]) for rater in ("anna", "ben", "cem")]
    assert [len(indexes) for indexes in places] == [10, 10, 10]
    assert places[0] & places[1] == places[0] & places[2] == places[1] & places[2] == {0, 1, 2, 3}
    assert len(plan.drawn) == 4 + 3 * 6 and plan.probability == 22 / 40


def test_more_people_than_places_share_more() -> None:
    all_cards = cards(items=2)
    plan = RatingPlan(0, 0.5, len(all_cards.by_place))
    for rater in ("anna", "ben", "cem"):
        plan = with_rater(plan, rater, 18, all_cards)
    assert all(len(set(indexes)) == 6 for indexes in plan.raters.values()) and len(plan.drawn) == 8


def test_asking_for_more_keeps_what_was_there() -> None:
    all_cards = cards()
    plan = with_rater(RatingPlan(0, 0.3, len(all_cards.by_place)), "anna", 30, all_cards)
    more = with_rater(plan, "anna", 60, all_cards)
    assert set(plan.raters["anna"]) < set(more.raters["anna"]) and more.drawn[:10] == plan.drawn


def test_the_plan_outlives_the_program_and_cannot_be_changed_halfway(tmp_path: Path) -> None:
    all_cards = cards()
    plan = planned(tmp_path, "anna", all_cards, samples=30, seed=3)
    assert read_plan(tmp_path) == plan == planned(tmp_path, "anna", all_cards, samples=30)
    with pytest.raises(ConfigError, match="seed=3"):
        planned(tmp_path, "ben", all_cards, samples=30, seed=4)


def test_equal_responses_are_one_card_that_stands_for_both() -> None:
    cell = make_cell(Path("x"), KINDS[0], queries=QUERIES[:2], items=3)
    twin = make_cell(Path("x"), KINDS[1], queries=QUERIES[:2], items=3)
    copied = [replace(b, response=a.response) for a, b in zip(cell.records, twin.records, strict=True)]
    twin = replace(twin, records=tuple(copied))
    all_cards = cards_of(SweepResults(Path("x"), grouped([cell, twin])))
    assert all(len(at) == 1 for at in all_cards.by_place.values())
    assert {len(keys) for keys in all_cards.samples.values()} == {2}


def test_the_last_word_wins_and_half_a_line_is_dropped(tmp_path: Path) -> None:
    append_rating(tmp_path, Rating("anna", "s", behaviour=2))
    append_rating(tmp_path, Rating("anna", "s", behaviour=4, coherence=5))
    with (tmp_path / "ratings.jsonl").open("ab") as file:
        file.write(b'{"rater": "anna", "sample": "s", "behav')  # a program was killed here
    assert read_ratings(tmp_path) == {("anna", "s"): Rating("anna", "s", [], 4, 5)}
    append_rating(tmp_path, Rating("ben", "s", behaviour=1))
    assert [rating.behaviour for rating in read_ratings(tmp_path).values()] == [4, 1]


def test_a_place_where_nothing_was_said_can_be_drawn_and_shows_nothing() -> None:
    cell = make_cell(Path("x"), KINDS[0], queries=QUERIES[:2], items=3)
    silent = replace(cell.records[0], response=" \n")
    all_cards = cards_of(SweepResults(Path("x"), grouped([replace(cell, records=(silent, *cell.records[1:]))])))
    assert len(all_cards.by_place) == 6 and all_cards.by_place[place_of(silent)] == ()
    plan = with_rater(RatingPlan(0, 0.3, 6), "anna", 100, all_cards)
    assert len(plan.drawn) == 6 and len(plan.deck("anna", all_cards)) == 5
