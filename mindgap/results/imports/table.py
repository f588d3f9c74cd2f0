"""Reads a recording's file as a table of texts: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mindgap.core.errors import ConfigError

RECORDING_FORMATS = ".csv, .tsv, .jsonl (each also .gz) or .parquet"


@dataclass(frozen=True)
class RecordedTable:
    """The rows of a file as texts.

    Attributes:
        path: The file.
        sha256: Of its bytes.
        columns: Their names, in order.
        rows: Texts by column; None = no value.
    """

    path: Path
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str | None], ...]


def read_table(path: Path) -> RecordedTable:
    """The recording in a file, read by its suffix.

    Raises:
        ConfigError: It cannot be read as what it says it is.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    try:
        if kind == ".parquet":
            columns, rows = _parquet(path)
        elif kind in (".csv", ".tsv"):
            with _text(path) as file:
                columns, rows = _csv(file, "\t" if kind == ".tsv" else ",", path)
        elif kind in (".jsonl", ".ndjson"):
            with _text(path) as file:
                columns, rows = _jsonl(file, path)
        else:
            raise ConfigError(f"{path}: recordings are {RECORDING_FORMATS}")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as {kind} in UTF-8: {error}") from error
    if not rows:
        raise ConfigError(f"{path}: the recording holds no rows")
    return RecordedTable(path, hashlib.sha256(path.read_bytes()).hexdigest(), columns, tuple(rows))


def _text(path: Path) -> IO[str]:
    """Line ends are left alone: inside quotes they belong to the text. A byte-order mark does not."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _csv(file: IO[str], delimiter: str, path: Path) -> tuple[tuple[str, ...], list[Mapping[str, str | None]]]:
    before = csv.field_size_limit(sys.maxsize)  # the default refuses fields above 128 KiB
    try:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        columns = tuple(next(reader, ()))
        if repeated := next((name for name in columns if columns.count(name) > 1), None):
            raise ConfigError(f"{path}: two columns are called {repeated!r}")
        rows: list[Mapping[str, str | None]] = []
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


def _jsonl(file: Iterable[str], path: Path) -> tuple[tuple[str, ...], list[Mapping[str, str | None]]]:
    rows: list[Mapping[str, str | None]] = []
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            raise ConfigError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}, line {number}: a line must be an object with the columns as keys")
        rows.append({key: _plain(value) for key, value in row.items()})
    return tuple(dict.fromkeys(key for row in rows for key in row)), rows


def _parquet(path: Path) -> tuple[tuple[str, ...], list[Mapping[str, str | None]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ConfigError(f"{path} cannot be read as Parquet: {error}") from error
    rows: list[Mapping[str, str | None]] = [
        {name: _plain(value) for name, value in row.items()} for row in table.to_pylist()
    ]
    return tuple(table.column_names), rows


def _plain(value: Any) -> str | None:
    """A value as the text it would be in a CSV; NaN is how data frames say that there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
