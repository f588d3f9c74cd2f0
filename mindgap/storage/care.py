"""Care of a store: whether it can be read, what others hold put into it, what is damaged taken out."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mindgap.core.errors import UnavailableError
from mindgap.storage.store import Store, readable


@dataclass(frozen=True)
class Condition:
    """What a store holds.

    Attributes:
        records: How many of each kind can be read.
        damaged: How many of each kind cannot.
        fault: What SQLite says of the file; None where it finds nothing wrong.
        megabytes: Its size on disk.
    """

    records: Mapping[str, int]
    damaged: Mapping[str, int]
    fault: str | None
    megabytes: float

    @property
    def whole(self) -> bool:
        return not self.damaged and self.fault is None


def condition(path: Path) -> Condition:
    """Read every record of a store. Changes nothing. Raises UnavailableError where there is no store."""
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    faults: list[str] = []
    with closing(_reading(path)) as db:
        for _, kind, value in _rows(db, faults):
            (good if readable(kind, value) else bad)[kind] += 1
        try:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            said = str(error)
    if said != "ok":
        faults.append(str(said))
    return Condition(good, bad, next(iter(faults), None), path.stat().st_size / 1e6)


def merge(into: Path, sources: list[Path]) -> tuple[int, list[str]]:
    """Put the readable records of other stores into one, which is made where it is not there; its own stay as they are.

    Returns:
        How many were new, and what could not be read.

    Raises:
        UnavailableError: A store is not there, or cannot be written.
    """
    for source in sources:
        if source.resolve() == into.resolve():
            raise UnavailableError(f"{source} cannot be merged into itself")
        _reading(source).close()
    store = Store(into)
    faults: list[str] = []
    added = 0
    try:
        for source in sources:
            with closing(_reading(source)) as db:
                added += store.add(row for row in _rows(db, faults) if readable(row[1], row[2]))
    finally:
        store.close()
    return added, faults


def prune(path: Path, kinds: list[str]) -> int:
    """Remove damaged records and those of some kinds, and give the room back; how many were removed.

    Raises:
        UnavailableError: There is no store, or it cannot be written.
    """
    with closing(_reading(path)) as db:
        faults: list[str] = []
        doomed = [key for key, kind, value in _rows(db, faults) if kind in kinds or not readable(kind, value)]
    if faults:
        raise UnavailableError(
            f"{path} is damaged ({faults[0]}): `python -m mindgap.store merge NEW {path}` saves what can be read"
        )
    store = Store(path)
    try:
        store.remove(doomed)
    finally:
        store.close()
    return len(doomed)


def _reading(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise UnavailableError(f"there is no store {path}")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60)
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise UnavailableError(f"{path} is no store that can be read ({error}). Nothing in it was changed") from error
    return db


def _rows(db: sqlite3.Connection, faults: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """Rows, as far as they can be read: by their place in the file, so that a damaged page costs its own rows alone."""
    try:
        last = db.execute("SELECT max(rowid) FROM record").fetchone()[0] or 0
    except sqlite3.Error as error:
        faults.append(str(error))
        return
    place, step = 0, 256
    while place < last:
        try:
            rows = db.execute(
                "SELECT key, kind, value FROM record WHERE rowid > ? AND rowid <= ?", (place, place + step)
            ).fetchall()
        except sqlite3.Error as error:
            if step > 1:
                step = 1
                continue
            faults.append(str(error))
            rows = []
        place += step
        if place % 256 == 0:
            step = 256
        yield from ((str(key), str(kind), value if isinstance(value, bytes) else b"") for key, kind, value in rows)
