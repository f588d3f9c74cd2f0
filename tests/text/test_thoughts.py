"""Thoughts and replies are told apart, however the model marks them."""

from __future__ import annotations

import pytest

from mindgap.text.thoughts import MARKS, THINK, Marks, Parted, marks_in, part


@pytest.mark.parametrize("marks", MARKS, ids=lambda marks: marks.close)
@pytest.mark.parametrize("opened", [False, True])
def test_a_thought_and_the_reply_after_it(marks: Marks, opened: bool) -> None:
    text = f"{'' if opened else marks.open}\nLet me see.\n{marks.ahead}{marks.close}\n\nFour."
    assert part(text, marks, opened=opened) == Parted("Let me see.", "Four.")


@pytest.mark.parametrize("marks", MARKS, ids=lambda marks: marks.close)
def test_a_thought_without_words_is_none(marks: Marks) -> None:
    assert part(f"{marks.empty}Four.", marks) == Parted(None, "Four.")


@pytest.mark.parametrize(("text", "opened"), [("<think>\nLet me", False), ("Let me", True), ("<think>Let me", True)])
def test_a_thought_that_never_ends_is_no_reply(text: str, opened: bool) -> None:
    assert part(text, opened=opened) == Parted("Let me", "", ended=False)


def test_a_server_that_keeps_the_opening_mark_in_the_prompt() -> None:
    assert part("Let me see.\n</think>\n\nFour.") == Parted("Let me see.", "Four.")


@pytest.mark.parametrize("text", ["Four.", "", " Four.\n", "Put <think>…</think> around it.", "Put <think> first."])
def test_a_reply_without_a_thought_stays_as_it_is(text: str) -> None:
    assert part(text) == Parted(None, text)


def test_a_second_thought_is_part_of_the_reply() -> None:
    assert part("<think>A</think>B <think>C</think> D") == Parted("A", "B <think>C</think> D")


def test_a_template_tells_the_marks() -> None:
    assert marks_in("{{ content.split('</think>')[-1] }}") == THINK
    assert marks_in("{{ messages }}") is None
