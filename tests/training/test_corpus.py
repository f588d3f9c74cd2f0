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

    def __init__(self, most: int = 10**9, identity: str = "parrot") -> None:
        self.left, self.asked, self.identity = most, 0, identity

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for index in reversed(range(len(requests))):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.asked += 1
            yield index, Completion(f"{requests[index].messages[-1].content} {requests[index].seed}", "stop")


def write(parrot: Parrot, path: Path, count: int = 20, max_tokens: int = 8, seed: int = 3) -> list[Text]:
    settings = {"count": count, "max_tokens": max_tokens, "seed": seed}
    return write_texts(parrot, path, **settings, on_done=lambda done: None)  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    ("writer", "changes"),
    [(Parrot(identity="macaw"), {}), (Parrot(), {"seed": 4}), (Parrot(), {"max_tokens": 9})],
    ids=["model", "seed", "length"],
)
def test_what_another_model_seed_or_length_wrote_into_the_file_is_not_taken_for_ones_own(
    tmp_path: Path, writer: Parrot, changes: dict[str, int]
) -> None:
    path = tmp_path / "texts.jsonl"
    first = write(Parrot(), path)
    other = write(writer, path, **changes)
    assert writer.asked == 20 and len(other) == 20
    back = Parrot()
    assert write(back, path) == first and back.asked == 0  # what was there before is still there


def test_lines_of_an_older_version_which_name_no_writer_are_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"number": 0, "messages": [], "text": "old", "error": None}) + "\n")
    parrot = Parrot()
    assert all(text.text != "old" for text in write(parrot, path)) and parrot.asked == 20


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
    lines.write_text('{"text": "Hello."}\n{"text": "Hel\n')
    with pytest.raises(ConfigError, match=r"a\.jsonl, line 2: this is not JSON"):
        read_texts(lines)


def test_a_text_stays_on_its_side_whatever_else_is_there() -> None:
    texts = [Text((), f"text {number}") for number in range(1000)]
    train, held = split(texts, 0.1)
    assert len(train) + len(held) == 1000 and 60 < len(held) < 140
    assert set(split(texts[:300], 0.1)[1]) == set(held) & set(texts[:300])
