"""Detectors of collapse: what a reader may expect of each figure."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindgap.text.words import distinct_2, pieces, repetition, word_count, words

HEALTHY = (
    "The sky looks blue because air scatters short waves of light more than long ones. Violet is scattered even "
    "more, but the sun sends less of it, and our eyes notice it less. At dusk the light crosses more air, so "
    "most of the blue is gone before it arrives."
)


def test_a_healthy_text_does_not_repeat_itself() -> None:
    assert repetition(pieces(HEALTHY)) == 0
    assert distinct_2(pieces(HEALTHY)) > 0.95
    assert word_count(HEALTHY) == len(HEALTHY.split())


@pytest.mark.parametrize(
    "text",
    [
        "the same thing and " * 40,
        "ha " * 60,
        "hahaha" * 40,
        "!" * 200,
        "I am sure. " * 30,
        "今日は" * 40,
        "😂" * 60,
    ],
)
def test_a_loop_is_near_one_in_any_script(text: str) -> None:
    assert repetition(pieces(text)) > 0.8
    assert distinct_2(pieces(text)) < 0.2


def test_repetition_is_the_share_of_four_word_runs_seen_before() -> None:
    # 10 words, so 7 runs of four; "a b c d" and "b c d e" come twice
    assert repetition(pieces("a b c d e a b c d e")) == pytest.approx(2 / 7)


def test_repetition_grows_with_the_part_that_loops() -> None:
    shares = [repetition(pieces(HEALTHY + " and so on and on" * times)) for times in (0, 5, 20, 80)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.7


def test_shuffled_words_do_not_count_as_repetition() -> None:
    """Word salad is for the likelihood to find."""
    mixed = HEALTHY.split()
    random.Random(0).shuffle(mixed)
    assert repetition(pieces(" ".join(mixed))) == 0


@pytest.mark.parametrize(("text", "count"), [("", 0), (" \n\t", 0), ("...", 0), ("One", 1), ("don't well-known", 2)])
def test_short_texts(text: str, count: int) -> None:
    assert (word_count(text), repetition(pieces(text))) == (count, 0)


def test_a_short_loop_is_still_a_loop_and_a_short_sentence_is_not() -> None:
    assert repetition(pieces("no no no no")) > 0.5
    assert repetition(pieces("The cat and the dog.")) == 0


def test_scripts_without_spaces_count_characters_and_combining_signs_stay_with_their_word() -> None:
    assert word_count("今日は晴れ。") == 5
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
    assert words("cafe\u0301 noir") == ["cafe\u0301", "noir"]


@given(st.text(max_size=300))
def test_figures_are_in_range_for_any_text(text: str) -> None:
    assert 0 <= repetition(pieces(text)) <= 1
    assert 0 <= distinct_2(pieces(text)) <= 1
    assert 0 <= word_count(text) <= len(text)


def test_a_very_long_text_is_read_to_its_end() -> None:
    text = " ".join(f"word{i}" for i in range(200_000)) + " over and over again" * 50_000
    assert word_count(text) == 400_000
    assert repetition(pieces(text)) == pytest.approx(0.5, abs=0.001)
