"""Brings a recording's rows into one shape: a value for each field of ours, wherever the recording says it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mindgap.core.errors import ConfigError, did_you_mean
from mindgap.results.imports.columns import FIELDS, ColumnMap
from mindgap.results.imports.table import Origin, RecordedTable
from mindgap.results.imports.values import head_of, looked_up

_Wide = tuple[tuple[dict[str, str], dict[str, str]], ...]
_HELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Row:
    """One response with all that is said of it.

    Attributes:
        origin: The row of the file.
        values: By field of ours, as the file has them; a field that nothing says is not there.
        columns: The recording's name of each field that a column says.
    """

    origin: Origin
    values: Mapping[str, Any]
    columns: Mapping[str, str]

    def where(self, field: str) -> str:
        """For messages: the row, and the map's key and the column."""
        file = f"{self.origin.file}, " if self.origin.file else ""
        return f"{file}row {self.origin.number}: map.columns.{field}={self.columns.get(field, '?')}"


def shaped(table: RecordedTable, column_map: ColumnMap) -> Iterator[Row]:
    """The rows of a table, those of a wide one (`map.wide`) taken apart into one for each response.

    A field is said by the first of these that says it: the name of a wide column, the file's name, a column, a
    constant.

    Raises:
        ConfigError: The map names a column that is not there, or nothing says a field that every row needs.
    """
    wide = _wide(table, column_map)
    groups = set(re.compile(column_map.pattern).groupindex) if column_map.pattern else set()
    said = groups | (set(re.compile(column_map.wide).groupindex) if column_map.wide else set())
    for needed in ("query", "method", "prompt"):
        if needed not in said and needed not in column_map.constants and not getattr(column_map.columns, needed):
            raise ConfigError(
                f"map.columns.{needed} is missing: name its column; or say it for all rows, map.constants.{needed}=…"
            )
    _check(table, column_map, wide, said)
    named = column_map.columns.named()
    for raw, origin in zip(table.rows, table.origins, strict=True):
        for of_name, held in wide or (({}, {}),):
            row = {**raw, **{name: raw.get(column) for name, column in held.items()}}
            said_of_row = {**origin.said, **of_name}
            columns = {ours: _filled(theirs, said_of_row) for ours, theirs in named.items()}
            values = {**column_map.constants}
            values |= {ours: looked_up(row, theirs) for ours, theirs in columns.items()}
            values |= {name: value for name, value in said_of_row.items() if name in FIELDS}
            if held and all(looked_up(row, column) is None for column in held):
                continue  # this response was not made for this row
            yield Row(origin, values, columns)


def _wide(table: RecordedTable, column_map: ColumnMap) -> _Wide:
    """For each thing that the names of wide columns tell apart: what they say, and the column of each of its values."""
    if column_map.wide is None:
        return ()
    found: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for column in table.columns:
        if fits := re.fullmatch(column_map.wide, column):
            parts = {name: value for name, value in fits.groupdict().items() if value is not None}
            found.setdefault(tuple(sorted((k, v) for k, v in parts.items() if k != "column")), {})[parts["column"]] = (
                column
            )
    if not found:
        raise ConfigError(f"map.wide={column_map.wide}: fits no column. There are: {', '.join(table.columns)}")
    return tuple((dict(parts), held) for parts, held in found.items())


def _filled(column: str, said: Mapping[str, str]) -> str:
    """The column's name with what the file's name says in place of `{name}`."""
    return _HELD.sub(lambda match: said.get(match[1], match[0]), column)


def _check(
    table: RecordedTable,
    column_map: ColumnMap,
    wide: _Wide,
    said: set[str],
) -> None:
    """Refuse a recording that lacks a column of the map, or that says nowhere what the map asks for."""
    melted = tuple(dict.fromkeys(name for _, held in wide for name in held))
    there = (*table.columns, *melted)
    for ours, theirs in column_map.columns.named().items():
        if ours in said:
            raise ConfigError(f"map.columns.{ours}={theirs}: {ours} is told by a name already (map.pattern, map.wide)")
        if unknown := [name for name in _HELD.findall(theirs) if name not in said]:
            raise ConfigError(f"map.columns.{ours}={theirs}: no group of map.pattern is called {unknown[0]}")
        if _HELD.search(theirs):
            names = {
                _filled(theirs, {**origin.said, **parts})
                for origin in table.origins
                for parts, _ in wide or (({}, {}),)
            }
        else:
            names = {theirs}
        for name in sorted(names):
            _check_column(ours, name, there, table, melted)


def _check_column(ours: str, name: str, there: tuple[str, ...], table: RecordedTable, melted: tuple[str, ...]) -> None:
    head = head_of(there, name)
    if head is None:
        raise ConfigError(f"map.columns.{ours}={name}: the recording has no such column. {did_you_mean(name, there)}")
    if head != name and head not in melted and all(looked_up(row, name) is None for row in table.rows):
        inside = next((value for row in table.rows if (value := row.get(head)) is not None), None)
        keys = (
            f"There are: {', '.join(map(str, inside))}" if isinstance(inside, Mapping) else f"It holds {inside!r:.80}"
        )
        raise ConfigError(f"map.columns.{ours}={name}: nothing stands there in {head}. {keys}")
