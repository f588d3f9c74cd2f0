"""What is read from replies that answer in words or numbers: the table of nasty ones."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindgap.tasks.answers import CUT_OFF, EMPTY_REPLY, EMPTY_TAG, NO_ANSWER, ONLY_REASONING, SEVERAL
from mindgap.tasks.text_answers import (
    NO_MATCH,
    NO_NUMBER,
    OTHER_UNIT,
    boxed,
    gold_number,
    read_number,
    read_pattern,
    read_text,
)

RIGHT, WRONG = True, False

NUMBERS = [
    ("<answer>42</answer>", "42", RIGHT),
    ("<answer>41</answer>", "42", WRONG),
    ("<answer> $1,234.50 </answer>", "1234.5", RIGHT),
    ("<answer>1.234,50</answer>", "1234.5", NO_NUMBER),  # two readings
    ("<answer>12,5</answer>", "12.5", NO_NUMBER),
    ("<answer>1,23,456</answer>", "123456", NO_NUMBER),
    ("<answer>forty-two</answer>", "42", NO_NUMBER),
    ("<answer>between 3 and 4</answer>", "4", NO_NUMBER),
    ("<answer>x = 7</answer>", "7", RIGHT),
    ("<answer>3 + 4 = 7</answer>", "7", RIGHT),
    ("<answer>7 apples</answer>", "7", RIGHT),
    ("<answer>18 dollars</answer>", "$18", RIGHT),
    ("<answer>18 km</answer>", "18", RIGHT),
    ("<answer>18 km</answer>", "18 kilometers", RIGHT),
    ("<answer>18 m</answer>", "18 km", OTHER_UNIT),
    ("<answer>5%</answer>", "0.05", RIGHT),
    ("<answer>5%</answer>", "5", RIGHT),
    ("<answer>-3</answer>", "3", WRONG),
    ("<answer>−3</answer>", "-3", RIGHT),  # a real minus
    ("<answer>-$3</answer>", "-3", RIGHT),
    ("<answer>3/4</answer>", "0.75", RIGHT),
    (r"<answer>\frac{3}{4}</answer>", "0.75", RIGHT),
    (r"<answer>-\dfrac{3}{4}</answer>", "-3/4", RIGHT),
    ("<answer>1/0</answer>", "1", NO_NUMBER),
    ("<answer>2.5e3</answer>", "2500", RIGHT),
    ("<answer>3 × 10^4</answer>", "30000", RIGHT),
    ("<answer>1e999999999</answer>", "1", NO_NUMBER),  # and it returns at once
    ("<answer>0.3333</answer>", "1/3", WRONG),
    ("<answer>.5</answer>", "0.5", RIGHT),
    ("<answer>42.0</answer>", "42", RIGHT),
    ("<answer>42.</answer>", "42", RIGHT),
    ("<answer>1234567</answer>", "1,234,567", RIGHT),
    ("<answer></answer>", "42", EMPTY_TAG),
    ("<answer>number</answer>", "42", EMPTY_TAG),  # an echo of the instruction
    ("<answer>", "42", CUT_OFF),
    ("<answer>42", "42", RIGHT),
    ("<answer>41</answer> or <answer>42</answer>", "42", SEVERAL),
    ("<answer>42</answer>, that is <answer>42.0</answer>", "42", RIGHT),
    ("<thinking>41</thinking> <answer>42</answer>", "42", RIGHT),
    ("<thinking>the answer is 42", "42", ONLY_REASONING),
    (r"So \boxed{42}.", "42", RIGHT),
    (r"\boxed{\frac{1}{2}}", "0.5", RIGHT),
    (r"\boxed{41} then \boxed{42}", "42", SEVERAL),
    (r"so \boxed{4", "4", CUT_OFF),
    (r"\boxed{12\text{ cm}}", "12", RIGHT),
    (r"<answer>\boxed{42}</answer>", "42", RIGHT),
    ("2 + 2 is 4.\n#### 4", "4", RIGHT),
    ("#### 1,000", "1000", RIGHT),
    ("The answer is 42.", "42", RIGHT),
    ("I add 20 and 22.\nFinal answer: **42**", "42", RIGHT),
    ("Answer: 42 because 20 + 22 = 42", "42", RIGHT),
    ("The answer is not 42", "42", NO_ANSWER),
    ("Is the answer 42?", "42", None),
    ("The answer is 41 or 42.", "42", NO_NUMBER),
    ("The answer is 3.5. I am sure of 7.", "3.5", RIGHT),
    ("42", "42", RIGHT),
    ("$42", "42", RIGHT),
    ("I have 20, you have 22", "22", NO_ANSWER),
    ("First 20.\nThen 22.", "22", NO_ANSWER),
    ("", "42", EMPTY_REPLY),
    ("no idea", "42", NO_ANSWER),
]


@pytest.mark.parametrize(("reply", "gold", "expected"), NUMBERS)
def test_numbers(reply, gold, expected):
    answer = read_number(reply, [gold])
    if isinstance(expected, bool):
        assert answer.unparsed is None and answer.right is expected
    else:
        assert answer.right is None and answer.unparsed == (expected or NO_ANSWER)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("I have 20, you have 22", RIGHT), ("22 first.\nThen 20.", WRONG), ("none", NO_ANSWER), ("", EMPTY_REPLY)],
)
def test_the_last_number_counts_only_where_it_is_asked_for(reply, expected):
    answer = read_number(reply, ["22"], last_number=True)
    assert (answer.right if answer.unparsed is None else answer.unparsed) == expected
    assert read_number(reply, ["22"]).unparsed is not None


def test_a_tolerance_is_relative():
    assert read_number("<answer>0.3333</answer>", ["1/3"], tolerance=1e-3).right
    assert not read_number("<answer>0.33</answer>", ["1/3"], tolerance=1e-3).right


TEXTS = [
    ("<answer>Paris</answer>", RIGHT),
    ("<answer> the  PARIS. </answer>", RIGHT),
    ("<answer>“Paris”</answer>", RIGHT),
    ("<answer>**Paris**</answer>", RIGHT),
    ("<answer>Paris, Texas</answer>", WRONG),
    ("<answer>City of Light</answer>", RIGHT),
    ("<answer>Paris</answer> <answer>Rome</answer>", SEVERAL),
    ("<answer>Paris</answer> <answer>City of Light</answer>", RIGHT),  # both are right
    ("The answer is Paris.", RIGHT),
    ("The answer is Paris, because it is.", RIGHT),
    ("The answer is not Paris.", NO_ANSWER),
    ("Paris", RIGHT),
    ("Paris or Rome", NO_ANSWER),
    ("I do not know Rome", NO_ANSWER),
    ("One might say that it is a city of very many lights", NO_ANSWER),
    ("I like Rome.\nI like Paris.", NO_ANSWER),
    ("<answer>...</answer>", EMPTY_TAG),
    ("<ans", CUT_OFF),
    ("  ", EMPTY_REPLY),
]


@pytest.mark.parametrize(("reply", "expected"), TEXTS)
def test_words(reply, expected):
    answer = read_text(reply, ["Paris", "City of Light"])
    assert (answer.right if answer.unparsed is None else answer.unparsed) == expected


def test_a_point_within_an_answer_ends_nothing():
    assert read_text("The answer is U.S. Virgin Islands. They are far.", ["U.S. Virgin Islands"]).right


def test_nothing_is_forgiven_without_normalising():
    assert read_text("<answer>Paris</answer>", ["Paris"], "none").right
    assert not read_text("<answer>paris</answer>", ["Paris"], "none").right


@pytest.mark.parametrize(
    ("reply", "gold"),
    [
        (r"\boxed{\left( 3, \dfrac{\pi}{2} \right)}", r"\left( 3, \frac{\pi}{2} \right)"),
        (r"\boxed{$x^2+1$}", "x^2 + 1"),
        (r"\boxed{\text{Evelyn}}", "Evelyn"),
        (r"\boxed{90^\circ}", "90"),
        (r"\boxed{10,000}", "10000"),
        (r"\boxed{\frac12}", r"\frac{1}{2}"),
    ],
)
def test_mathematics_is_compared_without_its_typesetting(reply, gold):
    assert read_text(reply, [gold], "math").right
    assert not read_text(reply, [gold + "7"], "math").right


def test_a_pattern_says_what_is_read():
    pattern = re.compile(r"verdict: (\w+)", re.I)
    assert read_pattern("Verdict: Guilty", pattern, ["guilty"]).right
    assert read_pattern("verdict: free", pattern, ["guilty"]).right is False
    assert read_pattern("verdict: guilty, no, verdict: free", pattern, ["guilty"]).unparsed == SEVERAL
    assert read_pattern("guilty", pattern, ["guilty"]).unparsed == NO_MATCH
    assert read_pattern("verdict: free", pattern, []).right is None


def test_boxes_hold_braces():
    assert boxed(r"\boxed{\frac{a}{b}} and \boxed{{c}} and \boxed{d") == [r"\frac{a}{b}", "{c}"]


def test_gold_numbers():
    assert gold_number("It is 3 + 4 = <<3+4=7>>7.\n#### 7") == "7"
    assert gold_number("#### 1,080") == "1,080"
    assert gold_number("12.5") == "12.5" and gold_number("Paris") is None


@given(st.text(max_size=60))
def test_no_reply_breaks_reading(reply):
    for read in (read_number(reply, ["3"], last_number=True), read_text(reply, ["x"]), read_text(reply, ["x"], "math")):
        assert (read.text is None) == (read.unparsed is not None)


@given(st.integers(-(10**9), 10**9))
def test_every_integer_is_read_as_it_is_written(number):
    for written in (str(number), f"{number:,}", f"{number}.0"):
        assert read_number(f"<answer>{written}</answer>", [str(number)]).right
        assert not read_number(f"<answer>{written}</answer>", [str(number + 1)], tolerance=0).right
