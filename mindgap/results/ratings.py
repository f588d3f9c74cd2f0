"""People's ratings on disk, `ratings.jsonl`: one line a click; a person's last line on a response is what counts."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from mindgap.core.errors import MindgapError

RATINGS = "ratings.jsonl"


@dataclass(frozen=True)
class Rating:
    """What one person says of one response.

    Attributes:
        rater: The person's name.
        sample: The card's key.
        keys: Keys of the samples that the card stands for.
        behaviour: From 1 to 5; None = not given.
        coherence: From 1 to 5; None = not given.
        skipped: The person looked at it and would not say.
        time: UTC, ISO 8601.

    Raises:
        ValueError: A score is no whole number from 1 to 5, or skipped is no bool.
    """

    rater: str
    sample: str
    keys: Sequence[str] = ()
    behaviour: int | None = None
    coherence: int | None = None
    skipped: bool = False
    time: str = ""

    def __post_init__(self) -> None:
        for name in ("behaviour", "coherence"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 1 <= value <= 5):
                raise ValueError(f"{name} is a whole number from 1 to 5 or null, not {value!r}")
        if type(self.skipped) is not bool:
            raise ValueError(f"skipped is true or false, not {self.skipped!r}")

    @property
    def done(self) -> bool:
        """Whether nothing is left to say of the response."""
        return self.skipped or (self.behaviour is not None and self.coherence is not None)


def append_rating(folder: Path, rating: Rating) -> None:
    """Add a line to the sweep's ratings; on return it is on the disk. Several programs may do so at once."""
    line = json.dumps(asdict(rating), ensure_ascii=False).encode() + b"\n"
    with FileLock(folder / f".{RATINGS}.lock"), (folder / RATINGS).open("ab+") as file:
        file.truncate(_whole_lines(folder / RATINGS))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_ratings(folder: Path) -> dict[tuple[str, str], Rating]:
    """The last rating of each (rater, card), in the order they were first rated; empty where there are none.

    A last line that does not end was never promised to be saved, and is left out.

    Raises:
        MindgapError: Any other line is no rating.
    """
    path = folder / RATINGS
    if not path.is_file():
        return {}
    ratings: dict[tuple[str, str], Rating] = {}
    *lines, _unended = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            rating = Rating(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise MindgapError(f"{path}, line {number} is not a rating: {error}") from error
        ratings[rating.rater, rating.sample] = rating
    return ratings


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line's end: what a killed program left behind it is half a line."""
    with path.open("rb") as file:
        end = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 4096)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                return min(end, start + newline + 1)
            position = start
    return 0
