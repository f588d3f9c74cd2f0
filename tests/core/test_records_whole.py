"""Half characters and numbers that are none reach no file and no mean."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mindgap.core.characters import encodable
from mindgap.core.keys import content_key
from mindgap.core.records import Completion, Item, Judgement, JudgeRequest, Message, OptionScores, Score
from mindgap.storage.store import Store


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("plain \U0001f600", "plain \U0001f600"),
        ("Ha \ud83d", "Ha \ufffd"),
        ("\ude00 ha", "\ufffd ha"),
        ("\ud83d\ude00", "\U0001f600"),  # as a JSON reader leaves a pair that came in two pieces
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("line\u2028line", "line\u2028line"),
    ],
)
def test_half_characters_are_replaced_and_pairs_joined(text: str, whole: str) -> None:
    assert encodable(text) == whole
    encodable(text).encode()


def test_a_reply_and_a_judgement_with_half_a_character_can_be_kept_and_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.put_completion("a", Completion("cut \ud83d", "length", thought="\udfff"))
    store.put_judgement("b", Judgement(Score(None, "no \ud83d"), Score(3), "it says \ud83d"))
    assert store.completions(["a"])["a"].text == "cut \ufffd"
    assert store.judgements(["b"])["b"].analysis == "it says \ufffd"
    store.close()
    for seen in (
        JudgeRequest("q\ud83d", "r", "q", "\ud83d"),
        Message("user", "\ud83d"),
        Item("1", "\ud83d", options=("\ud83d",)),
    ):
        assert content_key("seen", **asdict(seen))
        assert "\\ud83d" not in json.dumps(asdict(seen))


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_options_are_compared_by_numbers_alone(broken: float, place: int) -> None:
    logprobs = [-1.0, -2.0, -3.0]
    assert OptionScores(tuple(logprobs), (1, 1, 1)).likeliest() == (0, None)
    logprobs[place] = broken
    assert OptionScores(tuple(logprobs), (1, 1, 1)).likeliest() == (None, "the log-likelihood is not a finite number")


def test_without_scores_the_reason_is_theirs() -> None:
    assert OptionScores((), (), "too long").likeliest() == (None, "too long")
