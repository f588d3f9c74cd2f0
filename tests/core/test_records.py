"""A content key covers all that can change the answer, and nothing that cannot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mindgap.core.edits import AddVector
from mindgap.core.records import Decoding, Message, OptionScores, OptionsRequest, Request, Score

EDIT = AddVector(3, np.array([1.0, 2.0]), label="one")
REQUEST = Request("local/m@1", (Message("user", "hi"),), Decoding(8, 0.6, 0.9), seed=1, edits=(EDIT,))


def changed(**fields: object) -> Request:
    return dataclasses.replace(REQUEST, **fields)  # type: ignore[arg-type]


def test_everything_that_can_change_the_answer_changes_the_key() -> None:
    others = [
        changed(source="local/m@2"),
        changed(messages=(Message("system", "hi"),)),
        changed(messages=(Message("user", "hi "),)),
        changed(decoding=Decoding(9, 0.6, 0.9)),
        changed(decoding=Decoding(8, 0.7, 0.9)),
        changed(decoding=Decoding(8, 0.6, 0.8)),
        changed(seed=2),
        changed(edits=()),
        changed(edits=(EDIT.scaled(0),)),
        changed(edits=(EDIT, EDIT)),
    ]
    assert len({REQUEST.key, *(other.key for other in others)}) == len(others) + 1


def test_a_label_changes_no_key() -> None:
    assert changed(edits=(dataclasses.replace(EDIT, label="two"),)).key == REQUEST.key


def test_greedy_decoding_ignores_what_it_does_not_use() -> None:
    greedy = changed(decoding=Decoding(8, 0, 0.9))
    assert dataclasses.replace(greedy, seed=5, decoding=Decoding(8, 0, 0.5)).key == greedy.key


def test_two_kinds_of_request_never_share_a_key() -> None:
    options = OptionsRequest("local/m@1", REQUEST.messages, ())
    assert options.key != dataclasses.replace(REQUEST, edits=()).key
    assert dataclasses.replace(options, options=("a", "b")).key != dataclasses.replace(options, options=("b", "a")).key


@pytest.mark.parametrize("value", [0, 5.5, -1])
def test_a_score_out_of_range_does_not_exist(value: float) -> None:
    with pytest.raises(ValueError, match="between 1 and 5"):
        Score(value)


def test_a_score_is_a_value_or_a_reason() -> None:
    for value, missing in [(None, None), (3.0, "why")]:
        with pytest.raises(ValueError, match="either"):
            Score(value, missing)


def test_option_scores_are_normalised_by_length() -> None:
    assert OptionScores((-4.0, -3.0, 0.0), (4, 1, 0)).per_token() == (-1.0, -3.0, float("-inf"))
