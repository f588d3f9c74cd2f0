"""A recorded prompt is known by what it asks, wherever it stands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mindgap.core.records import Item
from mindgap.results.imports.items import ItemIndex, item_id, item_of, split_options
from mindgap.tasks.choice import lettered


@given(st.lists(st.from_regex(r"[a-z]{2,8}( [a-z0-9]{2,8}){0,3}", fullmatch=True), min_size=2, max_size=8))
def test_what_our_tasks_write_is_read_back(options: list[str]) -> None:
    item = Item("x", "Which of these?\nI. one\nII. two", options=tuple(options))
    question, read = split_options(lettered(item) + "\n\nAnswer with a letter, A. or B. for example.")
    assert question == item.question
    assert read == item.options


def test_options_may_span_lines_and_end_before_the_format_instruction() -> None:
    prompt = "Look:\nA. x = 1\n   y = 2\nB. x = 2\n\nThink first.\nThen answer."
    assert split_options(prompt) == ("Look:", ("x = 1\n   y = 2", "x = 2"))


def test_letters_out_of_order_are_no_options() -> None:
    for prompt in ("Plan:\nA. one\nC. three", "B. two\nC. three", "A. only one", "no letters at all"):
        assert split_options(prompt) == (prompt, ())


def test_a_list_quoted_in_the_question_is_not_the_options() -> None:
    prompt = "The menu said\nA. soup\nB. fish\nWhich is hot?\nA. the soup\nB. the fish\nC. both"
    question, options = split_options(prompt)
    assert options == ("the soup", "the fish", "both")
    assert question.endswith("Which is hot?")


def test_ids_follow_the_text_and_not_its_spacing() -> None:
    assert item_id("Why is  it so?\n") == item_id("Why is it so?")
    assert item_id("Why is it so?") != item_id("Why is it not so?")


def test_gold_answers_are_found_by_question_and_options_and_never_guessed() -> None:
    known = Item("mmlu/1", "Which?", "law", ("one", "two"), gold=1)
    twin = Item("mmlu/2", "What?", "law", ("one", "two"), gold=0)
    disagreeing = Item("mmlu/3", "What?", "law", ("one", "two"), gold=1)
    index = ItemIndex([known, twin, disagreeing])
    assert index.find(item_of("Which? \nA. one\nB. two\n\nThink.", "prompt")) == known
    assert index.find(item_of("Which?\nA. two\nB. one", "prompt")) is None, "other order, other letters"
    assert index.find(item_of("What?\nA. one\nB. two", "prompt")) is None, "two known items disagree"
