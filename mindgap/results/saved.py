"""The samples of finished cells, read from their files when they are asked for: a sweep may have millions."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, overload
from weakref import WeakKeyDictionary

import numpy as np

from mindgap.core.columns import Columnar
from mindgap.core.errors import MindgapError
from mindgap.core.measurement import Declaration
from mindgap.core.records import Record
from mindgap.results.samples import COLUMNS, DECLARATIONS, OWN, declaration_of, read_samples, shared

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

KEPT = 100_000
"""Rows of files that stay in memory once they were read, about a kilobyte each; of further files a column is read when
it is asked for."""


@dataclass(frozen=True)
class _File:
    """A cell's `samples.parquet`, as it was when the sweep was read.

    Attributes:
        path: Where it is.
        version: What tells it from one written later.
        metadata: What it says of itself.
    """

    path: Path
    version: tuple[int, int, int]
    metadata: pq.FileMetaData = field(compare=False)

    @classmethod
    def at(cls, path: Path) -> _File:
        import pyarrow.parquet as pq

        return cls(path, _version(path), pq.read_metadata(path))

    @property
    def rows(self) -> int:
        """How many samples it has."""
        return int(self.metadata.num_rows)

    def has(self, column: str) -> bool:
        """Whether it has a column of that name; older files lack some."""
        return column in self._columns

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        return tuple(self.metadata.schema.to_arrow_schema().names)

    def column(self, name: str) -> pa.ChunkedArray:
        """One column."""
        kept = self._kept()
        return self._read([name]).column(0) if kept is None else kept.column(name)

    def records(self, rows: Sequence[int] | None = None) -> Sequence[Record]:
        """All samples, or those of some rows."""
        kept = self._kept()
        table = self._read(self._columns) if kept is None else kept
        return read_samples(table if rows is None else table.take(list(rows)))[0]

    def _kept(self) -> pa.Table | None:
        """The whole file where there is room for it."""
        with _lock:
            if self not in _tables and sum(file.rows for file in _tables) + self.rows <= KEPT:
                _tables[self] = self._read(self._columns)
            return _tables.get(self)

    def _read(self, columns: Sequence[str]) -> pa.Table:
        """Columns; of text in which many rows have the same, each text once.

        Raises:
            MindgapError: It is no longer the file that the rest of the sweep was read with.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        once = [name for name in columns if name not in OWN and COLUMNS.get(name, ("double",))[0] == "string"]
        try:
            if _version(self.path) == self.version:
                with pq.ParquetFile(self.path, metadata=self.metadata, read_dictionary=once) as file:
                    return file.read(list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise MindgapError(f"{self.path} cannot be read: {error}") from error
        raise MindgapError(f"{self.path} has been written anew since this sweep was read: read the sweep again")


_tables: WeakKeyDictionary[_File, pa.Table] = WeakKeyDictionary()
"""Whole files, as long as somebody holds a sweep that was read from them."""
_lock = Lock()


class SavedRecords(Columnar):
    """The samples of a cell, or of several one after another, each with its epochs counted on by a number."""

    def __init__(self, parts: Sequence[tuple[_File, int]]) -> None:
        self._parts = tuple(parts)

    @classmethod
    def of(cls, path: Path) -> tuple[Sequence[Record], tuple[Declaration, ...]]:
        """The samples of a file that `write_cell` wrote, and what was measured on them.

        Those of version 0.1, which does not say what was measured, are read at once.
        """
        import pyarrow.parquet as pq

        file = _File.at(path)
        saved = (file.metadata.metadata or {}).get(DECLARATIONS)
        if saved is None:
            return read_samples(pq.read_table(path))
        return cls([(file, 0)]), tuple(map(declaration_of, json.loads(saved)))

    def shifted(self, epochs: int) -> Self:
        """The same with epochs counted on."""
        return type(self)([(file, shift + epochs) for file, shift in self._parts])

    def __add__(self, other: SavedRecords) -> Self:
        return type(self)([*self._parts, *other._parts])

    def __len__(self) -> int:
        return sum(file.rows for file, _ in self._parts)

    def __iter__(self) -> Iterator[Record]:
        for file, shift in self._parts:
            yield from _counted_on(file.records(), shift)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        places = range(len(self))[index]
        return self.at([places])[0] if isinstance(places, int) else tuple(self.at(places))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def at(self, places: Sequence[int]) -> list[Record]:
        """The records at these places."""
        found: dict[int, Record] = {}
        first = 0
        for file, shift in self._parts:
            if own := [place for place in places if first <= place < first + file.rows]:
                records = _counted_on(file.records([place - first for place in own]), shift)
                found |= zip(own, records, strict=True)
            first += file.rows
        return [found[place] for place in places]

    def facts(self, name: str) -> list[Any]:
        """A field of every record."""
        return list(chain.from_iterable(self._facts(name, *part) for part in self._parts))

    def values(self, measure: str) -> np.ndarray:
        """A measure's value on every record, `[records]`; NaN where it is missing or does not apply."""
        return self._joined(measure, lambda file: _numbers(file.column(measure)), np.nan)

    def applies(self, measure: str) -> np.ndarray:
        """Whether every record should have a value of the measure, bool `[records]`."""

        def due(file: _File) -> np.ndarray:
            return _there(file.column(measure)) | _there(file.column(f"{measure}_missing"))

        return self._joined(measure, due, False)

    def _joined(self, measure: str, of: Callable[[_File], np.ndarray], lacking: float | bool) -> np.ndarray:
        """What `of` says of each file; of one without the measure, `lacking` for every sample."""
        arrays = [of(file) if file.has(measure) else np.full(file.rows, lacking) for file, _ in self._parts]
        return np.concatenate(arrays) if arrays else np.full(0, lacking)

    @staticmethod
    def _facts(name: str, file: _File, shift: int) -> list[Any]:
        if not file.has(name):  # of an older file
            return [_default(name)] * file.rows
        found = _listed(file.column(name))
        return [epoch + shift for epoch in found] if name == "epoch" else found


def shifted(records: Sequence[Record], epochs: int) -> Sequence[Record]:
    """`records` with their epochs counted on."""
    return records.shifted(epochs) if isinstance(records, SavedRecords) else _counted_on(records, epochs)


def _counted_on(records: Sequence[Record], epochs: int) -> Sequence[Record]:
    return tuple(replace(record, epoch=record.epoch + epochs) for record in records) if epochs else records


def joined(parts: Iterable[Sequence[Record]]) -> Sequence[Record]:
    """The records of all parts, one after another."""
    parts = list(parts)
    saved = [part for part in parts if isinstance(part, SavedRecords)]
    if len(saved) < len(parts):
        return tuple(chain.from_iterable(parts))
    return sum(saved, SavedRecords([]))


def _version(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size, state.st_ino


def _listed(column: pa.ChunkedArray) -> list[Any]:
    """The column's values, one and the same object where rows share a text or a list."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return list(map(shared, column.to_pylist())) if pa.types.is_nested(column.type) else column.to_pylist()
    listed: list[Any] = []
    for chunk in column.chunks:
        texts = [*map(shared, chunk.dictionary.to_pylist()), None]
        places = chunk.indices.fill_null(len(texts) - 1).to_pylist()
        listed += [texts[place] for place in places]
    return listed


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Floats, NaN for null."""
    return np.asarray(column.to_numpy(), dtype=float)


def _there(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.is_valid().to_numpy(), dtype=bool)


@lru_cache
def _default(name: str) -> Any:
    """What a field of a record is where nothing is said of it."""
    (found,) = (entry for entry in fields(Record) if entry.name == name)
    return None if found.default is MISSING else found.default
