"""The text that a sparse autoencoder is trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mindgap.core.errors import ConfigError
from mindgap.core.records import Completion, Message, Request
from mindgap.training.corpus import Text, prompts, read_texts, split, write_texts


class Parrot:
    """Answers with the question and the seed; stops answering after `most` requests, as a killed process does."""

    identity = "parrot"

    def __init__(self, most: int = 10**9) -> None:
        self.left, self.asked = most, 0

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for index in reversed(range(len(requests))):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.asked += 1
            yield index, Completion(f"{requests[index].messages[-1].content} {requests[index].seed}", "stop")


def write(parrot: Parrot, path: Path, count: int = 20) -> list[Text]:
    write_texts(parrot, path, count=count, max_tokens=8, seed=3, on_done=lambda done: None)  # type: ignore[arg-type]
    return read_texts(path)


def test_the_same_seed_asks_the_same_and_more_prompts_begin_with_the_fewer() -> None:
    assert prompts(1, 50)[:20] == prompts(1, 20) != prompts(2, 20)
    assert {len(messages) for messages in prompts(0, 200)} == {1, 2}  # with a manner in the system prompt, and without


def test_a_run_that_was_killed_in_the_middle_of_a_line_ends_with_the_same_texts(tmp_path: Path) -> None:
    whole = write(Parrot(), tmp_path / "whole.jsonl")
    path = tmp_path / "killed.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write(Parrot(most=12), path)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 5)
    again = Parrot()
    assert write(again, path) == whole
    assert again.asked == 20 - 11
    assert write(again, path) == whole and again.asked == 20 - 11


def test_texts_are_read_from_json_lines_and_from_paragraphs(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text(
        json.dumps({"text": "Hello."})
        + "\n"
        + json.dumps({"text": "Hi", "messages": [{"role": "user", "content": "?"}]})
    )
    assert read_texts(lines) == [Text((), "Hello."), Text((Message("user", "?"),), "Hi")]
    plain = tmp_path / "a.txt"
    plain.write_text("One.\n\nTwo\nlines.\n\n\n")
    assert read_texts(plain) == [Text((), "One."), Text((), "Two\nlines.")]
    lines.write_text('{"txt": "?"}\n')
    with pytest.raises(ConfigError, match=r"a\.jsonl: every line must be like"):
        read_texts(lines)


def test_a_text_stays_on_its_side_whatever_else_is_there() -> None:
    texts = [Text((), f"text {number}") for number in range(1000)]
    train, held = split(texts, 0.1)
    assert len(train) + len(held) == 1000 and 60 < len(held) < 140
    assert set(split(texts[:300], 0.1)[1]) == set(held) & set(texts[:300])
