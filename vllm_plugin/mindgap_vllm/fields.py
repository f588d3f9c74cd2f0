"""A JSON object that anybody may have sent, asked for what should be in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

END = 2**40
"""Further than any token."""


class ProgramError(ValueError):
    """A program that cannot be run here. The message goes to the client."""


class Fields:
    """A JSON object, asked for what should be in it."""

    def __init__(self, content: Any, what: str) -> None:
        if not isinstance(content, dict):
            raise ProgramError(f"{what} must be a JSON object")
        self._content, self.what = content, what

    def get(self, name: str) -> Any:
        return self._content.get(name)

    def text(self, name: str) -> str:
        value = self._content.get(name)
        if not isinstance(value, str):
            raise ProgramError(f"{self.what}: {name} must be text")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        value = self._content.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= END:
            raise ProgramError(f"{self.what}: {name} must be a whole number, 0 or more")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        return number(self._content.get(name, default), f"{self.what}: {name}")

    def bound(self, name: str, default: float) -> float:
        value = self._content.get(name)
        return default if value is None else number(value, f"{self.what}: {name}")

    def list(self, name: str) -> Sequence[Any]:
        value = self._content.get(name, [])
        if not isinstance(value, list):
            raise ProgramError(f"{self.what}: {name} must be a list")
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self._content.get(name)
        if not isinstance(value, dict):
            raise ProgramError(f"{self.what}: {name} must be a JSON object")
        return value


def number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProgramError(f"{what} must be a finite number")
    return float(value)


def index(value: Any, count: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise ProgramError(f"{what} must be an index below {count}")
    return value


def span(first: Any, last: Any, what: str) -> tuple[int, int]:
    last = END if last is None else last
    for value in (first, last):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= END:
            raise ProgramError(f"{what}: from and to must be indices of tokens, to null = no end")
    if first > last:
        raise ProgramError(f"{what}: from {first} to {last} holds no token")
    return first, last
