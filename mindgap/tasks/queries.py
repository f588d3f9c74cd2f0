"""Steering queries: the behaviours asked for, each with the rubric it is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.core.records import Query


@dataclass(frozen=True, init=False)
class QuerySet:
    """A list of steering queries (`conf/query_set/*.yaml`).

    Attributes:
        name: Short name, for folders and tables.
        queries: Given as texts such as "be funny", or mappings `{text, rubric}`. A text without a rubric of its own
            gets mindgap's rubric for it, or the general one.
    """

    name: str
    _queries: tuple[Query, ...]

    def __init__(self, name: str, queries: Sequence[str | Mapping[str, str]]) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError("query_set.name is empty: give the set a short name, it is used in folders and tables")
        if isinstance(queries, str) or not isinstance(queries, Sequence):
            raise ConfigError(f"query_set.queries={queries!r}: must be a list of texts, for example ['be funny']")
        if not queries:
            raise ConfigError("query_set.queries is empty: give at least one text, for example ['be funny']")
        rubrics = _read_rubrics()
        checked = tuple(_query(entry, f"query_set.queries.{number}", rubrics) for number, entry in enumerate(queries))
        seen: set[str] = set()
        for number, query in enumerate(checked):
            if _normal(query.text) in seen:
                raise ConfigError(f"query_set.queries.{number}: {query.text!r} is there twice")
            seen.add(_normal(query.text))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_queries", checked)

    @property
    def queries(self) -> tuple[Query, ...]:
        """The queries in the set's order, each with its rubric."""
        return self._queries


def _query(entry: Any, path: str, rubrics: Mapping[str, Any]) -> Query:
    if isinstance(entry, Mapping):
        if unknown := [key for key in entry if key not in ("text", "rubric")]:
            raise ConfigError(f"{path}.{unknown[0]}: there is no such setting; a query has text and rubric")
        text, rubric = entry.get("text"), entry.get("rubric")
    else:
        text, rubric = entry, None
    if not isinstance(text, str):
        raise ConfigError(f"{path}={text!r}: a query is a text in quotes, or a mapping with text and rubric")
    if not text.strip():
        raise ConfigError(f"{path} is blank: say which behaviour is asked for, for example 'be funny'")
    if rubric is not None and (not isinstance(rubric, str) or not rubric.strip()):
        raise ConfigError(f"{path}.rubric={rubric!r}: must be text; leave it out for the general rubric")
    text = " ".join(text.split())
    rubric = rubric or rubrics["queries"].get(_normal(text)) or rubrics["general"].replace("{query}", text)
    return Query(text, rubric.strip())


def _normal(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


@cache
def _read_rubrics() -> Mapping[str, Any]:
    """The packaged rubrics: `queries` by text, and `general`."""
    from omegaconf import OmegaConf

    text = (resources.files("mindgap") / "data" / "rubrics.yaml").read_text(encoding="utf-8")
    rubrics: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(text))  # type: ignore[assignment]
    return rubrics
