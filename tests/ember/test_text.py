"""Text given out piece by piece is the text decoded at once, up to the first stop string."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindgap.ember.text import ReplyText


class Bytes:
    """A tokenizer of bytes: characters beyond ASCII take several tokens."""

    def decode(self, tokens: list[int], skip_special_tokens: bool = True) -> str:
        return bytes(tokens).decode("utf-8", errors="replace")


def given_out(tokenizer: Any, tokens: list[int], stops: list[str]) -> tuple[list[str], ReplyText]:
    text = ReplyText(tokenizer, stops)
    parts = []
    for token in tokens:
        parts.append(text.push(token))
        if text.stopped:
            break
    return [*parts, text.finish()], text


@given(
    st.text(alphabet="ab\n é漢🙂", max_size=30), st.lists(st.text(alphabet="ab\né", min_size=1, max_size=4), max_size=3)
)
def test_pieces_make_up_the_text_before_the_first_stop(words: str, stops: list[str]) -> None:
    parts, text = given_out(Bytes(), list(words.encode()), stops)
    places = [words.find(stop) for stop in stops if stop in words]
    # What ends first stops: a stop string that begins earlier but ends later is not complete yet.
    ends = [words.find(stop) + len(stop) for stop in stops if stop in words]
    if not places:
        assert ("".join(parts), text.stopped) == (words, False)
    else:
        seen = words[: min(ends)]
        assert "".join(parts) == seen[: min(seen.find(stop) for stop in stops if stop in seen)]
        assert text.stopped
    assert text.text == "".join(parts)


@given(st.binary(max_size=20))
def test_bytes_that_are_no_text_come_out_as_from_decoding_at_once(tokens: bytes) -> None:
    parts, _ = given_out(Bytes(), list(tokens), [])
    assert "".join(parts) == tokens.decode("utf-8", errors="replace")


def test_a_character_is_never_given_out_in_parts() -> None:
    parts, _ = given_out(Bytes(), list("é🙂".encode()), [])
    assert [part for part in parts if part] == ["é", "🙂"]


def test_with_a_real_tokenizer(small_model: SimpleNamespace) -> None:
    tokens = small_model.tokenizer("Hello there, go on. Stop now.", add_special_tokens=False)["input_ids"]
    parts, text = given_out(small_model.tokenizer, tokens, ["Stop", "never"])
    assert "".join(parts) == "Hello there, go on. "
    assert text.stopped


@pytest.mark.parametrize("stops", [[], ["zz"]])
def test_nothing_is_lost_when_the_reply_ends_inside_what_might_be_a_stop(stops: list[str]) -> None:
    parts, _ = given_out(Bytes(), list(b"buz"), stops)
    assert "".join(parts) == "buz"
