"""People's ratings: one line a click, appended and flushed; the last line on a response wins."""

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
    """What one person says of one response: scores 1 to 5, None = not given. time: UTC, ISO 8601.

    sample: the card's key. keys: of the samples it stands for. skipped: the person looked at it and would not say.
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
        return self.skipped or (self.behaviour is not None and self.coherence is not None)


def append(folder: Path, rating: Rating) -> None:
    """Add a line to the sweep's ratings; on return it is on the disk. Several programs may do so at once."""
    line = json.dumps(asdict(rating), ensure_ascii=False).encode() + b"\n"
    with FileLock(folder / f".{RATINGS}.lock"), (folder / RATINGS).open("ab+") as file:
        file.truncate(_whole_lines(folder / RATINGS))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_ratings(folder: Path) -> dict[tuple[str, str], Rating]:
    """The last rating of each (rater, card), in the order they were first rated; empty where there are none.

    A last line that does not end was never promised to be saved, and is left out. Raises MindgapError for any other
    line that is no rating.
    """
    path = folder / RATINGS
    if not path.is_file():
        return {}
    found: dict[tuple[str, str], Rating] = {}
    *lines, _unended = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            rating = Rating(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise MindgapError(f"{path}, line {number} is not a rating: {error}") from error
        found[rating.rater, rating.sample] = rating
    return found


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line's end: what a killed program left behind it is half a line."""
    with path.open("rb") as file:
        end = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 4096)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                return min(end, start + found + 1)
            position = start
    return 0
