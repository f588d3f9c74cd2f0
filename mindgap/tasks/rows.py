"""Rows of a data set, whatever it is kept in: CSV, TSV, JSON, JSON lines, Parquet, plain text, a folder, the hub."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError, UnavailableError, first_line
from mindgap.storage.json_lines import BadLineError, json_lines

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt")
TEXT_COLUMN = "prompt"
"""The column that the lines of a plain text file are."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        place: Where it stands, for messages: "mcq.csv, line 3".
        values: By column.
    """

    place: str
    values: Mapping[str, Any]


def read_rows(path: str, split: str, config: str | None = None) -> tuple[Row, ...]:
    """All rows, in the data set's order.

    Args:
        path: A file of one of `SUFFIXES`, a folder of them, or a name on the Hugging Face hub.
        split: Of a folder, the file's name (`test.csv`, `test-00000-of-00001.parquet`); of a hub name, the split. Of no
            meaning for a file.
        config: Of a folder, a folder in it; of a hub name, the configuration.

    Raises:
        ConfigError: There is no such file, or it cannot be read, with its line.
        UnavailableError: The hub cannot be reached, or does not know the name.
    """
    place = Path(path).expanduser()
    if place.is_file():
        rows = tuple(_file_rows(place, path))
    elif place.is_dir():
        rows = tuple(row for file in _split_files(place, path, split, config) for row in _file_rows(file, path))
    else:
        rows = tuple(_hub_rows(path, split, config))
    if not rows:
        raise ConfigError(f"task.path={path}: there is nothing in it")
    return rows


def check_place(path: str) -> None:
    """Refuse what can be no data set, without reading it. Raises ConfigError."""
    place = Path(path).expanduser()
    if not place.exists() and not _could_be_on_the_hub(path):
        raise ConfigError(
            f"task.path={path}: there is no such file or folder; give one ({', '.join(SUFFIXES)}), or a data set's "
            "name on the Hugging Face hub"
        )
    if place.is_file() and place.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"task.path={path}: files can be {', '.join(SUFFIXES)}, not {place.suffix or 'nameless'}")


def is_local(path: str) -> bool:
    """Whether `path` is a file or folder here."""
    return Path(path).expanduser().exists()


def _could_be_on_the_hub(path: str) -> bool:
    return bool(re.fullmatch(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?", path)) and Path(path).suffix.lower() not in SUFFIXES


def _file_rows(file: Path, path: str) -> Iterator[Row]:
    check_place(str(file))
    kind = file.suffix.lower()
    if kind == ".parquet":
        yield from _parquet(file, path)
        return
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"task.path={path}: {file.name} is not text in UTF-8 ({first_line(error)})") from error
    if kind in (".csv", ".tsv"):
        yield from _table(text, file.name, path, "\t" if kind == ".tsv" else ",")
    elif kind == ".txt":
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield Row(f"{file.name}, line {number}", {TEXT_COLUMN: line.strip()})
    else:
        yield from _json(text, file.name, path, lines=kind != ".json")


def _table(text: str, name: str, path: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            place, start = f"{name}, line {start}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                if twice := [column for column in header if header.count(column) > 1]:
                    raise ConfigError(f"task.path={path}: {place}: the column {twice[0]!r} is there twice")
                continue
            if len(cells) != len(header):
                raise ConfigError(
                    f"task.path={path}: {place}: {len(cells)} cells, but {len(header)} columns ({', '.join(header)}); "
                    "put cells with a separator in them in double quotes"
                )
            yield Row(place, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise ConfigError(f"task.path={path}: {name}, line {start}: {error}") from error


def _json(text: str, name: str, path: str, *, lines: bool) -> Iterator[Row]:
    if not lines:
        try:
            whole = json.loads(text)
        except ValueError as error:
            if text.lstrip().startswith("{") and "\n{" in text:  # JSON lines under the other name
                yield from _json(text, name, path, lines=True)
                return
            raise ConfigError(f"task.path={path}: {name}: {error}") from error
        listed = [entry for entry in whole.values() if isinstance(entry, list)] if isinstance(whole, dict) else [whole]
        if len(listed) != 1 or not isinstance(listed[0], list):
            raise ConfigError(f"task.path={path}: {name} must be a list of objects, or an object with one such list")
        rows = [(f"{name}, entry {number}", entry) for number, entry in enumerate(listed[0], start=1)]
    else:
        try:
            rows = [(f"{name}, line {number}", entry) for number, entry in json_lines(text)]
        except BadLineError as error:
            raise ConfigError(f"task.path={path}: {name}, line {error.number}: {error}") from error
    for place, row in rows:
        if not isinstance(row, dict):
            raise ConfigError(f"task.path={path}: {place}: a row is a JSON object with a key a column")
        yield Row(place, row)


def _parquet(file: Path, path: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise ConfigError(f"task.path={path}: {file.name} cannot be read ({first_line(error)})") from error
    for number, row in enumerate(table.to_pylist(), start=1):
        yield Row(f"{file.name}, row {number}", row)


def _split_files(folder: Path, path: str, split: str, config: str | None) -> Sequence[Path]:
    """The files of a split, in the folder, in its `data`, or in the folder of the configuration."""
    places = [folder / config] if config else [folder, folder / "data"]
    files = [file for place in places if place.is_dir() for file in sorted(place.iterdir())]
    files = [file for file in files if file.suffix.lower() in SUFFIXES]
    of_split = [file for file in files if re.fullmatch(rf"{re.escape(split)}(?:[-_.]\d.*)?", file.stem)]
    if not of_split:
        folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        there = ", ".join(file.name for file in files[:12]) or "no data files"
        hint = f"; folders, for task.config: {', '.join(folders[:12])}" if folders and not config else ""
        raise ConfigError(f"task.path={path}: there is no file for task.split={split} in it; there are: {there}{hint}")
    return of_split


def _hub_rows(path: str, split: str, config: str | None) -> Iterator[Row]:
    import datasets

    from mindgap.tasks.hub import probe

    check_place(path)
    probe(path, "Give a file or folder here (task.path=items.csv), or a data set's name on the hub")
    try:
        data = datasets.load_dataset(path, config, split=split)
    except ConnectionError as error:
        raise UnavailableError(f"task.path={path}: the hub cannot be reached ({first_line(error)})") from error
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(f"task.path={path}: {first_line(error).rstrip('.')} (task.config, task.split)") from error
    for number, row in enumerate(data, start=1):
        yield Row(f"{path}, {split}, row {number}", row)
