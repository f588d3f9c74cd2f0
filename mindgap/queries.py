"""Temporary."""

from __future__ import annotations
from dataclasses import dataclass
from mindgap.records import Query


@dataclass(frozen=True)
class QuerySet:
    name: str
    texts: list[str]

    @property
    def queries(self) -> tuple[Query, ...]:
        return tuple(Query(t, "1 to 5") for t in self.texts)
