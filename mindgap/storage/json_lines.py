"""JSON lines: one value a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class BadLineError(ValueError):
    """A line that is no JSON. The message is the parser's.

    Attributes:
        number: Of the line, from 1.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


def json_lines(text: str) -> Iterator[tuple[int, Any]]:
    """Number and value of every line that is not empty.

    Only line feeds end a line: U+2028 is a character like any other. Raises BadLineError, also for a number of
    thousands of digits or a nest without end.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise BadLineError(number, str(error)) from error
            yield number, value
