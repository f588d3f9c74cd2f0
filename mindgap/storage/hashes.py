"""Hashes of large files, remembered between runs."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from mindgap.storage.cache import cache_folder


def file_hash(path: Path, cache: Path | None = None) -> str:
    """Hex SHA-256 of a large file, remembered in `cache` (None = `cache_folder()`)."""
    stat = path.stat()
    stamp = hashlib.sha256(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    kept = (cache or cache_folder()) / "hashes" / stamp
    if kept.is_file() and len(known := kept.read_text()) == 64:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError):  # it is only made again then
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(digest)
    return digest
