"""What has been generated, scored or measured, by content key: one SQLite file that all sweeps share.

Promises, tested by killing the process: a value is there as soon as `put_*` returns, whatever then happens to the
process; several processes may read and write at once. A power cut may lose the last few values, never damage the file
(write-ahead log, `synchronous=NORMAL`).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mindgap.core.errors import UnavailableError
from mindgap.core.records import Completion, Judgement, OptionScores, Score

log = logging.getLogger(__name__)

Value = TypeVar("Value")
_SCHEMA = "CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, kind TEXT NOT NULL, value BLOB NOT NULL)"
_KEYS_PER_QUERY = 500
LAYOUT = 1
"""Of the table, kept as SQLite's `user_version` (0: from before). Raised when an older mindgap cannot read it."""


class Store:
    """An open store. One connection, used from one thread at a time; usable from several processes."""

    def __init__(self, path: Path, *, reads_only: bool = False) -> None:
        """Open the store at `path`.

        Args:
            path: Its file.
            reads_only: Make no file where there is none: what would be written is forgotten then.

        Raises:
            UnavailableError: It cannot be made or opened.
        """
        if reads_only and not path.is_file():
            path = Path(":memory:")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(
                f"the store {path} cannot be made ({error.strerror}). Choose another file: store=FILE"
            ) from error
        self.path = path
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._refuse_other_layouts()
            self._db.execute(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={LAYOUT}")
        except sqlite3.Error as error:
            raise _cannot(path, "opened", error) from error

    def _refuse_other_layouts(self) -> None:
        (layout,) = self._db.execute("PRAGMA user_version").fetchone()
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(record)")}
        if layout > LAYOUT or (columns and columns != {"key", "kind", "value"}):
            raise UnavailableError(
                f"the store {self.path} was written by a newer mindgap, or is not mindgap's: nothing in it was "
                "changed. Update mindgap, or choose another file: store=FILE"
            )

    def close(self) -> None:
        self._db.close()

    # -- completions, option scores, judgements ----------------------------------------------------------------------

    def completions(self, keys: Iterable[str]) -> dict[str, Completion]:
        return _readable(self._get("completion", keys), _completion)

    def put_completion(self, key: str, completion: Completion) -> None:
        self._put(key, "completion", _json(completion))

    def option_scores(self, keys: Iterable[str]) -> dict[str, OptionScores]:
        return _readable(self._get("options", keys), _option_scores)

    def put_option_scores(self, key: str, scores: OptionScores) -> None:
        self._put(key, "options", _json(scores))

    def judgements(self, keys: Iterable[str]) -> dict[str, Judgement]:
        return _readable(self._get("judgement", keys), _judgement)

    def put_judgement(self, key: str, judgement: Judgement) -> None:
        self._put(key, "judgement", _json(judgement))

    # -- measured arrays ---------------------------------------------------------------------------------------------

    def array(self, key: str) -> np.ndarray | None:
        """A float32 array kept under `key`, or None."""
        return _readable(self._get("array", [key]), _array).get(key)

    def put_array(self, key: str, array: np.ndarray) -> None:
        self._put(key, "array", json.dumps(array.shape).encode() + b"\n" + array.astype("<f4").tobytes())

    # -- rows --------------------------------------------------------------------------------------------------------

    def _get(self, kind: str, keys: Iterable[str]) -> list[tuple[str, bytes]]:
        wanted = list(dict.fromkeys(keys))
        rows: list[tuple[str, bytes]] = []
        with self._lock:
            for start in range(0, len(wanted), _KEYS_PER_QUERY):
                some = wanted[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value FROM record WHERE kind = ? AND key IN ({marks})"
                try:
                    rows += self._db.execute(query, [kind, *some]).fetchall()
                except sqlite3.Error as error:
                    raise _cannot(self.path, "read", error) from error
        return rows

    def add(self, rows: Iterable[tuple[str, str, bytes]]) -> int:
        """Add rows (key, kind, value) of another store whose keys are not known here; how many those were."""
        with self._lock:
            before = self._db.total_changes
            try:
                with _transaction(self._db):
                    self._db.executemany("INSERT OR IGNORE INTO record (key, kind, value) VALUES (?, ?, ?)", rows)
            except sqlite3.Error as error:
                raise _cannot(self.path, "written", error) from error
            return self._db.total_changes - before

    def remove(self, keys: Iterable[str]) -> None:
        """Remove records, and give back the room that the file does not need."""
        with self._lock:
            try:
                with _transaction(self._db):
                    self._db.executemany("DELETE FROM record WHERE key = ?", ((key,) for key in keys))
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise _cannot(self.path, "written", error) from error

    def _put(self, key: str, kind: str, value: bytes) -> None:
        with self._lock:
            row = (key, kind, value)
            try:
                self._db.execute("INSERT OR REPLACE INTO record (key, kind, value) VALUES (?, ?, ?)", row)
            except sqlite3.Error as error:
                raise _cannot(self.path, "written", error) from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def readable(kind: str, value: bytes) -> bool:
    """Whether a row's value is what its kind says."""
    reader = _READERS.get(kind)
    return reader is not None and bool(_readable([("", value)], reader))


def _readable(rows: Iterable[tuple[str, bytes]], reader: Callable[[bytes], Value]) -> dict[str, Value]:
    """Values by key; a damaged one is left out, as if it were not known, and so is made anew."""
    values = {}
    for key, value in rows:
        try:
            values[key] = reader(value)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            log.warning("the store's record %s is damaged: it is made anew", key)
    return values


def _cannot(path: Path, what: str, error: sqlite3.Error) -> UnavailableError:
    """What to do about a store that SQLite refuses to work on."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        do = "The disk is full. What it holds is safe: make room, and the same command goes on"
    elif code is not None and code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        do = "What it holds is safe: let it and its folder be written to, or choose another file: store=FILE"
    elif code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        do = "Another program holds it. What it holds is safe: run again when that program is done"
    elif code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        do = (
            f"If it is damaged, `python -m mindgap.store merge NEW {path}` saves what can be read; or move it away "
            "and run again: what it held is generated anew"
        )
    else:
        do = "What was saved before is safe: the same command goes on once that is mended"
    return UnavailableError(f"the store {path} cannot be {what} ({error}). {do}")


def _json(record: Any) -> bytes:
    return json.dumps(vars(record), default=vars, ensure_ascii=False).encode()


def _array(value: bytes) -> np.ndarray:
    header, _, data = value.partition(b"\n")
    return np.frombuffer(data, dtype="<f4").reshape(json.loads(header))


def _completion(value: bytes) -> Completion:
    fields = json.loads(value)
    return Completion(**{**fields, "tokens": tuple(fields.get("tokens", ()))})


def _option_scores(value: bytes) -> OptionScores:
    fields = json.loads(value)
    return OptionScores(tuple(fields["logprobs"]), tuple(fields["tokens"]), greedy=tuple(fields.get("greedy", ())))


def _judgement(value: bytes) -> Judgement:
    fields = json.loads(value)
    behaviour, coherence = Score(**fields.pop("behaviour")), Score(**fields.pop("coherence"))
    return Judgement(behaviour, coherence, **fields)


_READERS: dict[str, Callable[[bytes], Any]] = {
    "completion": _completion,
    "options": _option_scores,
    "judgement": _judgement,
    "array": _array,
}
