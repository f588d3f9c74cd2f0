"""What has been generated, scored or measured, by content key: one SQLite file that all sweeps share.

Promises, tested by killing the process: a value is there as soon as `put_*` returns, whatever then happens to the
process; several processes may read and write at once. A power cut may lose the last few values, never damage the file
(write-ahead log, `synchronous=NORMAL`).
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.core.errors import UnavailableError
from mindgap.core.records import Completion, Judgement, OptionScores, Score

_SCHEMA = "CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, kind TEXT NOT NULL, value BLOB NOT NULL)"
_KEYS_PER_QUERY = 500


class Store:
    """An open store. One connection, used from one thread at a time; usable from several processes."""

    def __init__(self, path: Path) -> None:
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
            self._db.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise UnavailableError(
                f"the store {path} cannot be opened ({error}). If it is damaged, move it away and run again: "
                "what it held is generated anew"
            ) from error

    def close(self) -> None:
        self._db.close()

    # -- completions, option scores, judgements ----------------------------------------------------------------------

    def completions(self, keys: Iterable[str]) -> dict[str, Completion]:
        return {key: _completion(json.loads(value)) for key, value in self._get("completion", keys)}

    def put_completion(self, key: str, completion: Completion) -> None:
        self._put(key, "completion", _json(completion))

    def option_scores(self, keys: Iterable[str]) -> dict[str, OptionScores]:
        return {key: _option_scores(json.loads(value)) for key, value in self._get("options", keys)}

    def put_option_scores(self, key: str, scores: OptionScores) -> None:
        self._put(key, "options", _json(scores))

    def judgements(self, keys: Iterable[str]) -> dict[str, Judgement]:
        return {key: _judgement(json.loads(value)) for key, value in self._get("judgement", keys)}

    def put_judgement(self, key: str, judgement: Judgement) -> None:
        self._put(key, "judgement", _json(judgement))

    # -- measured arrays ---------------------------------------------------------------------------------------------

    def array(self, key: str) -> np.ndarray | None:
        """A float32 array kept under `key`, or None."""
        for _, value in self._get("array", [key]):
            header, _, data = value.partition(b"\n")
            return np.frombuffer(data, dtype="<f4").reshape(json.loads(header))
        return None

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
                rows += self._db.execute(query, [kind, *some]).fetchall()
        return rows

    def _put(self, key: str, kind: str, value: bytes) -> None:
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO record (key, kind, value) VALUES (?, ?, ?)", (key, kind, value))


def _json(record: Any) -> bytes:
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False).encode()


def _completion(fields: dict[str, Any]) -> Completion:
    return Completion(**{**fields, "tokens": tuple(fields.get("tokens", ()))})


def _option_scores(fields: dict[str, Any]) -> OptionScores:
    return OptionScores(tuple(fields["logprobs"]), tuple(fields["tokens"]))


def _judgement(fields: dict[str, Any]) -> Judgement:
    behaviour, coherence = Score(**fields.pop("behaviour")), Score(**fields.pop("coherence"))
    return Judgement(behaviour, coherence, **fields)
