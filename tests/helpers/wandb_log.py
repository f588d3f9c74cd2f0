"""Read a run back from the `.wandb` file that the real client wrote.

The file is a 7-byte header (`:W&B`, then version bytes) and a LevelDB log: blocks of 32 KiB, in them fragments of
crc32 (of type and data), length and type, where a type is 1 for a whole record and 2, 3, 4 for the first, a middle
and the last part of one. A record is a protobuf message.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024
FRAGMENT = struct.Struct("<IHB")
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class Run:
    """What a run's log says. exit_code is None if the run did not end cleanly."""

    folder: Path
    id: str = ""
    name: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    host: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    def table(self, name: str) -> list[dict[str, Any]]:
        """Rows of a logged table, by column."""
        table = json.loads((self.folder / "files" / self.summary[name]["path"]).read_text(encoding="utf-8"))
        return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def read_runs(folder: Path) -> list[Run]:
    """All runs in `folder/wandb`, oldest first."""
    return [read_run(path) for path in sorted(folder.glob("wandb/*run-*/run-*.wandb"))]


def read_run(path: Path) -> Run:
    from wandb.proto.wandb_internal_pb2 import Record

    run = Run(path.parent)
    for data in _records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            said = record.run
            run.id, run.name, run.project = said.run_id, said.display_name, said.project
            run.group, run.job_type, run.host = said.run_group, said.job_type, said.host
            run.tags = list(said.tags)
            _update(run.config, said.config.update)
        elif record.HasField("config"):
            _update(run.config, record.config.update)
        elif record.HasField("summary"):
            _update(run.summary, record.summary.update)
        elif record.HasField("exit"):
            run.exit_code = record.exit.exit_code
    return run


def _update(target: dict[str, Any], items: Iterable[Any]) -> None:
    for item in items:
        *parents, last = list(item.nested_key) or [item.key]
        place = target
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = json.loads(item.value_json)


def _records(data: bytes) -> Iterator[bytes]:
    assert data.startswith(b":W&B"), "not a W&B log"
    position, parts = 7, b""
    while position + FRAGMENT.size <= len(data):
        room = BLOCK - position % BLOCK
        if room < FRAGMENT.size:  # the end of a block is padding
            position += room
            continue
        checksum, length, kind = FRAGMENT.unpack_from(data, position)
        position += FRAGMENT.size
        part = data[position : position + length]
        position += length
        assert zlib.crc32(bytes([kind]) + part) == checksum, "a damaged record"
        parts = part if kind in (WHOLE, FIRST) else parts + part
        if kind in (WHOLE, LAST):
            yield parts
