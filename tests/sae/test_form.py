"""Which features are of mere form, by their labels."""

from __future__ import annotations

import pytest

from mindgap.sae.form import asks_for_form, is_form


@pytest.mark.parametrize("label", ["comma", "line break · near our", "of", "i, that", "quotation mark · → said"])
def test_marks_and_small_words_are_form(label: str) -> None:
    assert is_form(label)


@pytest.mark.parametrize("label", ["", "joke · near commentator", "comma, laughs", "no clear pattern", "near cheerful"])
def test_what_means_something_is_not(label: str) -> None:
    assert not is_form(label)


@pytest.mark.parametrize(
    ("behaviour", "asks"), [("answer with a numbered list", True), ("use many commas", True), ("be funny", False)]
)
def test_a_query_can_ask_for_form(behaviour: str, asks: bool) -> None:
    assert asks_for_form(behaviour) is asks
