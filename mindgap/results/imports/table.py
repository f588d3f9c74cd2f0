"""Reads a recording, a file or a folder of files, as one table of rows that know where they come from."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.results.imports.formats import Named, read_csv, read_eval, read_json, read_jsonl, read_parquet
from mindgap.results.imports.opening import KINDS, RECORDING_FORMATS, contents, kind_of
from mindgap.results.imports.values import is_absent

__all__ = ["RECORDING_FORMATS", "Origin", "RecordedTable", "read_table"]


@dataclass(frozen=True)
class Origin:
    """Where a row comes from.

    Attributes:
        file: The file's path inside the recording's folder; empty where the recording is one file.
        number: Of the row in that file, from 1, without the header.
        said: What the file's name says, by name of the group in `map.pattern`.
    """

    file: str
    number: int
    said: Mapping[str, str]


@dataclass(frozen=True)
class RecordedTable:
    """The rows of a recording.

    Attributes:
        path: The file or folder.
        sha256: Of its bytes.
        columns: Their names, in order.
        rows: Values by column, as the file has them: texts from CSV, anything from JSON and Parquet.
        origins: Where each row comes from, `[rows]`.
    """

    path: Path
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    origins: tuple[Origin, ...]


def read_table(
    path: Path, *, pattern: str | None = None, rows: str | None = None, delimiter: str | None = None
) -> RecordedTable:
    """The recording in a file, or in all files of a folder, read by their suffixes.

    Args:
        path: The file or folder.
        pattern: Regular expression for a file's path inside the folder, or for the end of a single file's path; its
            named groups are what the name says. Files of a folder that do not fit it are left out; None = all count.
        rows: Key under which a JSON file has its rows; None = where they are to be found.
        delimiter: Between the fields of a CSV file; None = comma, semicolon or tab, as its header has it.

    Raises:
        ConfigError: It cannot be read as what it says it is, or no name fits the pattern.
        UnavailableError: It is a log of Inspect, and inspect-ai is not installed.
    """
    if path.is_dir():
        found = [(file, file.relative_to(path).as_posix()) for file in sorted(path.rglob("*")) if file.is_file()]
        files = [(file, name) for file, name in found if kind_of(name) in KINDS]
    elif path.is_file():
        files = [(path, "")]
    else:
        raise ConfigError(f"{path}: there is no such file")
    said = {name: _said(name or path.resolve().as_posix(), pattern, folder=bool(name)) for _, name in files}
    files = [(file, name) for file, name in files if said[name] is not None]
    if not files:
        fits = f"; no name fits map.pattern={pattern}" if pattern else ""
        raise ConfigError(f"{path}: there is no recording here ({RECORDING_FORMATS}){fits}")
    columns: dict[str, None] = {}
    all_rows: list[Mapping[str, Any]] = []
    origins: list[Origin] = []
    digest = hashlib.sha256()
    for file, name in files:
        names, some = _read(file, rows, delimiter)
        columns |= dict.fromkeys(names)
        all_rows += [{key: None if is_absent(value) else value for key, value in row.items()} for row in some]
        origins += [Origin(name, number, said[name] or {}) for number in range(1, len(some) + 1)]
        digest.update((f"{name}\0" if name else "").encode() + file.read_bytes())
    if not all_rows:
        raise ConfigError(f"{path}: the recording holds no rows")
    return RecordedTable(path, digest.hexdigest(), tuple(columns), tuple(all_rows), tuple(origins))


def _said(name: str, pattern: str | None, *, folder: bool) -> dict[str, str] | None:
    """What a file's name says by the pattern; None where it does not fit."""
    if pattern is None:
        return {}
    fits = re.fullmatch(pattern, name) if folder else re.search(f"(?:^|/)(?:{pattern})$", name)
    return None if fits is None else {key: value for key, value in fits.groupdict().items() if value is not None}


def _read(path: Path, rows: str | None, delimiter: str | None) -> Named:
    kind = kind_of(path.name)
    if kind not in KINDS:
        raise ConfigError(f"{path}: recordings are {RECORDING_FORMATS}")
    if kind == ".eval":
        return read_eval(path)
    if kind == ".parquet":
        return read_parquet(contents(path), path)
    try:
        text = contents(path).decode("utf-8-sig")  # a byte-order mark is no part of the text
        if kind in (".csv", ".tsv"):
            return read_csv(text, path, delimiter or ("\t" if kind == ".tsv" else None))
        return read_json(text, path, rows) if kind == ".json" else read_jsonl(text, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as {kind} in UTF-8: {error}") from error
