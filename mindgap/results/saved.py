"""The samples of finished cells, read from their files when they are asked for: a sweep may have millions."""

from __future__ import annotations

import json
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from mindgap.core.columns import Columnar
from mindgap.core.errors import MindgapError
from mindgap.core.measurement import Declaration
from mindgap.core.records import Record
from mindgap.results.samples import COLUMNS, DECLARATIONS, OWN, declaration_of, read_samples, shared

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

KEPT = 50_000
"""Records of files that stay in memory once they were read, about 4 kB each; those of the last file at least."""


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
    def _columns(self) -> frozenset[str]:
        return frozenset(self.metadata.schema.to_arrow_schema().names)

    def column(self, name: str) -> pa.ChunkedArray:
        """One column; of text in which many rows have the same, each text once."""
        repeats = name not in OWN and COLUMNS.get(name, ("double",))[0] == "string"
        return self._read([name], read_dictionary=(name,) if repeats else ()).column(0)

    def records(self, shift: int, rows: Sequence[int] | None = None) -> tuple[Record, ...]:
        """All of them, or those of some rows, their epochs counted on."""
        table = self._read(None)
        records, _ = read_samples(table if rows is None else table.take(list(rows)))
        return _counted_on(records, shift)

    def _read(self, columns: Sequence[str] | None, **settings: Any) -> pa.Table:
        """Raises MindgapError where it is no longer the file that the rest of the sweep was read with."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            if _version(self.path) == self.version:
                with pq.ParquetFile(self.path, metadata=self.metadata, **settings) as file:
                    return file.read(columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise MindgapError(f"{self.path} cannot be read: {error}") from error
        raise MindgapError(f"{self.path} has been written anew since this sweep was read: read the sweep again")


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
        for part in self._parts:
            yield from _kept.records(*part)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(len(self))[index])
        number = range(len(self))[index]
        for file, shift in self._parts:
            if number < file.rows:
                return _kept.records(file, shift)[number]
            number -= file.rows
        raise IndexError(index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def facts(self, name: str) -> list[Any]:
        """A field of every record."""
        return list(chain.from_iterable(self._facts(name, *part) for part in self._parts))

    def values(self, measure: str) -> np.ndarray:
        """A measure's value on every record, `[records]`; NaN where it is missing or does not apply."""
        return self._joined(measure, lambda file: _numbers(file.column(measure)))

    def applies(self, measure: str) -> np.ndarray:
        """Whether every record should have a value of the measure, bool `[records]`."""

        def due(file: _File) -> np.ndarray:
            value, reason = file.column(measure), file.column(f"{measure}_missing")
            return _there(value) | _there(reason)

        return self._joined(measure, due, bool)

    def at(self, places: Sequence[int]) -> list[Record]:
        """The records at these places."""
        found: dict[int, Record] = {}
        first = 0
        for file, shift in self._parts:
            own = [place for place in places if first <= place < first + file.rows]
            found |= zip(own, _kept.at(file, shift, [place - first for place in own]), strict=True)
            first += file.rows
        return [found[place] for place in places]

    def _joined(self, measure: str, of: Callable[[_File], np.ndarray], kind: type = float) -> np.ndarray:
        """What `of` says of each file; of one without the measure, that no sample has a value."""
        lacks = False if kind is bool else np.nan
        arrays = [of(file) if file.has(measure) else np.full(file.rows, lacks) for file, _ in self._parts]
        return np.concatenate(arrays) if arrays else np.empty(0, kind)

    @staticmethod
    def _facts(name: str, file: _File, shift: int) -> list[Any]:
        if not file.has(name):  # of an older file
            return [_default(name)] * file.rows
        found = _listed(file.column(name))
        return [epoch + shift for epoch in found] if name == "epoch" else found


class _Kept:
    """Records that were read last."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[_File, int], tuple[Record, ...]] = OrderedDict()
        self._lock = Lock()

    def records(self, file: _File, shift: int) -> tuple[Record, ...]:
        if (known := self._known(file, shift)) is not None:
            return known
        records = file.records(shift)
        with self._lock:
            self._files[file, shift] = records
            while len(self._files) > 1 and sum(map(len, self._files.values())) > KEPT:
                self._files.popitem(last=False)
        return records

    def at(self, file: _File, shift: int, rows: Sequence[int]) -> Sequence[Record]:
        """Some of them; of a file that was not read, most of the time goes into making records of rows."""
        if not rows:
            return ()
        known = self._known(file, shift)
        return file.records(shift, rows) if known is None else [known[row] for row in rows]

    def _known(self, file: _File, shift: int) -> tuple[Record, ...] | None:
        with self._lock:
            if (file, shift) in self._files:
                self._files.move_to_end((file, shift))
            return self._files.get((file, shift))


_kept = _Kept()


def shifted(records: Sequence[Record], epochs: int) -> Sequence[Record]:
    """`records` with their epochs counted on."""
    return records.shifted(epochs) if isinstance(records, SavedRecords) else _counted_on(records, epochs)


def _counted_on(records: Sequence[Record], epochs: int) -> tuple[Record, ...]:
    return tuple(replace(record, epoch=record.epoch + epochs) for record in records) if epochs else tuple(records)


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
