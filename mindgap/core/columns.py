"""One field, or the values of one measure, of many records at once, whichever way the records are kept."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from mindgap.core.records import Record


class Columnar(Sequence[Record]):
    """Records that are kept by column: one column of all of them costs much less than the records."""

    @abstractmethod
    def facts(self, name: str) -> list[Any]:
        """A field of every record."""

    @abstractmethod
    def values(self, measure: str) -> np.ndarray:
        """A measure's value on every record, `[records]`; NaN where it is missing or does not apply."""

    @abstractmethod
    def applies(self, measure: str) -> np.ndarray:
        """Whether every record should have a value of the measure, bool `[records]`."""

    @abstractmethod
    def at(self, places: Sequence[int]) -> list[Record]:
        """The records at these places."""


def facts(records: Sequence[Record], name: str) -> list[Any]:
    """A field of every record."""
    return records.facts(name) if isinstance(records, Columnar) else [getattr(record, name) for record in records]


def values_of(records: Sequence[Record], measure: str) -> np.ndarray:
    """A measure's value on every record, `[records]`; NaN where it is missing or does not apply."""
    if isinstance(records, Columnar):
        return records.values(measure)
    return np.array([value_of(record, measure) for record in records], dtype=float)


def applies(records: Sequence[Record], measure: str) -> np.ndarray:
    """Whether every record should have a value of the measure, bool `[records]`."""
    if isinstance(records, Columnar):
        return records.applies(measure)
    return np.array([measure in record.measures for record in records], dtype=bool)


def at(records: Sequence[Record], places: Sequence[int]) -> list[Record]:
    """The records at these places."""
    return records.at(places) if isinstance(records, Columnar) else [records[place] for place in places]


def value_of(record: Record, measure: str) -> float:
    """The measure's value, NaN where it is missing or does not apply."""
    value = record.measures[measure].value if measure in record.measures else None
    return math.nan if value is None else value
