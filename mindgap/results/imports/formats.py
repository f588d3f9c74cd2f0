"""Reads the text of one file as rows: CSV, JSON lines, JSON in its usual layouts, Parquet, logs of Inspect."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.storage.json_lines import BadLineError, json_lines

_ATTACHMENT = "attachment://"
_LONG = frozenset(("events", "events_data", "attachments", "store"))
"""What a log of Inspect has at length and no map reads."""

Rows = list[Mapping[str, Any]]
"""Values by column, as the file has them."""

Named = tuple[tuple[str, ...], Rows]
"""The columns in order, and the rows."""


def read_csv(text: str, path: Path, delimiter: str | None) -> Named:
    """Rows of texts.

    Args:
        text: Line ends inside quotes belong to the text.
        path: For messages.
        delimiter: Between fields; None = a comma, or a semicolon or tab where the header has those and no comma.
    """
    before = csv.field_size_limit(sys.maxsize)  # the default refuses fields above 128 KiB
    try:
        delimiter = delimiter or _delimiter(text)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = tuple(next(reader, ()))
        if repeated := next((name for name in columns if columns.count(name) > 1), None):
            raise ConfigError(f"{path}: two columns are called {repeated!r}")
        rows: Rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(columns):
                raise ConfigError(
                    f"{path}, line {reader.line_num}: {len(cells)} fields where the header has {len(columns)}"
                )
            rows.append(dict(zip(columns, cells, strict=True)))
        return columns, rows
    finally:
        csv.field_size_limit(before)


def _delimiter(text: str) -> str:
    header = text.lstrip("\r\n").partition("\n")[0]
    if "," in header:
        return ","
    return max(";\t", key=header.count) if any(mark in header for mark in ";\t") else ","


def read_jsonl(text: str, path: Path) -> Named:
    """Rows of whatever the objects hold, one object a line."""
    rows: Rows = []
    try:
        for number, row in json_lines(text):
            if not isinstance(row, dict):
                raise ConfigError(f"{path}, line {number}: a line must be an object with the columns as keys")
            rows.append(row)
    except BadLineError as error:
        raise ConfigError(f"{path}, line {error.number}: not JSON ({error})") from error
    return _columns(rows), rows


def read_json(text: str, path: Path, key: str | None) -> Named:
    """Rows of a JSON file.

    It may hold a list of objects; a table as W&B and pandas' `split` write it (`columns` and `data`); a mapping of
    columns to their values, in lists or by index; or an object with one list of objects in it, a log of Inspect among
    them.

    Args:
        text: The file's.
        path: For messages.
        key: Under which the rows stand (`map.rows`); None = as above.
    """
    node = parse_json(text, str(path))
    if key is not None:
        return _listed(_under(node, key, path), path, f"under {key}")
    if isinstance(node, list):
        return _listed(node, path, "in the list")
    if not isinstance(node, dict):
        raise ConfigError(f"{path}: the JSON is neither a list of rows nor an object that holds one")
    if isinstance(node.get("columns"), list) and isinstance(node.get("data"), list):
        return _table(node["columns"], node["data"], path)
    if "eval" in node and isinstance(node.get("samples"), list):
        return inspect_rows(node, path)
    lists = [name for name, value in node.items() if _are_rows(value)]
    if len(lists) == 1:
        return _listed(node[lists[0]], path, f"under {lists[0]}")
    if len(lists) > 1:
        raise ConfigError(f"{path}: rows stand under {', '.join(lists)}: say which, map.rows={lists[0]}")
    return _by_column(node, path)


def inspect_rows(log: Mapping[str, Any], path: Path) -> Named:
    """A row for each sample of a log of Inspect; what the log says of itself is in every row's column `eval`."""
    samples = log.get("samples")
    if not samples:
        raise ConfigError(f"{path}: the log holds no samples (status {log.get('status', 'unknown')})")
    rows: Rows = [{**_attached(sample, sample.get("attachments") or {}), "eval": log["eval"]} for sample in samples]
    return _columns(rows), rows


def _attached(node: Any, attachments: Mapping[str, str]) -> Any:
    """What a log of Inspect says, long texts, which lie apart in it, back in their places."""
    if isinstance(node, str):
        return attachments.get(node.removeprefix(_ATTACHMENT), node) if node.startswith(_ATTACHMENT) else node
    if isinstance(node, list):
        return [_attached(entry, attachments) for entry in node]
    if isinstance(node, dict):
        return {key: _attached(value, attachments) for key, value in node.items() if key not in _LONG}
    return node


def read_eval(path: Path) -> Named:
    """Samples of Inspect's binary log, through inspect-ai, which alone knows every version of it.

    Raises:
        UnavailableError: inspect-ai is not installed.
    """
    try:
        from inspect_ai.log import read_eval_log  # type: ignore[import-not-found]
    except ImportError as error:
        raise UnavailableError(
            f"{path}: Inspect's .eval is read by its own package: pip install inspect-ai; or write the log as JSON, "
            f"which needs nothing: inspect log convert --to json --output-dir DIR {path}"
        ) from error
    try:
        log = json.loads(read_eval_log(str(path)).model_dump_json())
    except Exception as error:  # whatever a damaged archive raises in somebody else's reader
        raise ConfigError(f"{path} cannot be read as a log of Inspect: {type(error).__name__}: {error}") from error
    return inspect_rows(log, path)


def read_parquet(data: bytes, path: Path) -> Named:
    """Rows of what the columns hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path} cannot be read as Parquet: {error}") from error
    return tuple(table.column_names), list(table.to_pylist())


def parse_json(text: str, where: str) -> Any:
    """What a JSON text holds. Raises ConfigError, also for a number of thousands of digits or a nest without end."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON ({error})") from error


def _columns(rows: Rows) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for row in rows for key in row))


def _listed(values: Any, path: Path, where: str) -> Named:
    if isinstance(values, dict):
        values = list(values.values())
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise ConfigError(f"{path}: what stands {where} is no list of objects with the columns as keys")
    return _columns(values), values


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _table(columns: Sequence[Any], data: Sequence[Any], path: Path) -> Named:
    names = tuple(map(str, columns))
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: two columns have one name")
    for number, row in enumerate(data, 1):
        if not isinstance(row, list) or len(row) != len(names):
            raise ConfigError(f"{path}, row {number}: not the {len(names)} values that its columns ask for")
    return names, [dict(zip(names, row, strict=True)) for row in data]


def _by_column(node: Mapping[str, Any], path: Path) -> Named:
    columns = {
        name: list(value.values()) if isinstance(value, dict) else value
        for name, value in node.items()
        if isinstance(value, list | dict)
    }
    lengths = {len(values) for values in columns.values()}
    if len(columns) < len(node) or len(lengths) != 1 or lengths == {0}:
        raise ConfigError(f"{path}: no list of rows was found in this JSON: say where it stands, map.rows=KEY")
    orders = {tuple(value) for value in node.values() if isinstance(value, dict)}
    if len(orders) > 1:
        raise ConfigError(f"{path}: its columns have other indexes each, so their values cannot be joined to rows")
    return tuple(columns), [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _under(node: Any, key: str, path: Path) -> Any:
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            there = f"There are: {', '.join(node)}" if isinstance(node, dict) else "There are no keys there"
            raise ConfigError(f"{path}: map.rows={key}: there is no {part!r}. {there}")
        node = node[part]
    return node
