"""A folder of files that takes long to make, made once by whichever process comes first.

The folder appears under its name only when it is complete and on disk. Its manifest holds the SHA-256 of every file,
and every use checks them all (0.6 s for 540 MB, beside the second it takes to load them).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class DamagedError(Exception):
    """A prepared folder is not what its manifest says. The message says which file, and how."""


def prepare(folder: Path, source: str, build: Callable[[Path], None]) -> dict[str, str]:
    """Hex SHA-256 of each file in `folder` by name, after building the folder if it is missing, stale or damaged.

    Processes that come at the same time wait for the one that builds. A process killed while it builds leaves only an
    unfinished folder beside the real one, which the next builder removes. Raises OSError where the disk refuses.

    Args:
        source: Says what the files are made from; a folder made from something else is built anew.
        build: Fills the empty folder it is given with plain files. What it raises comes through, and nothing is
            changed.
    """
    if files := _intact(folder, source):
        return files
    import filelock

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        log.warning("another process is preparing %s: waiting for it", folder)
        lock.acquire()
    try:
        return _intact(folder, source, warn=True) or _build(folder, source, build)
    finally:
        lock.release()


def check(folder: Path, source: str) -> dict[str, str]:
    """Hex SHA-256 of each file by name. Raises FileNotFoundError if `folder` is missing, DamagedError if not intact."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        made_from, files = manifest["source"], dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{MANIFEST} cannot be read") from error
    if made_from != source:
        raise DamagedError("it was made from another source")
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise DamagedError(f"{name} is missing")
        if sha256(folder / name) != expected:
            raise DamagedError(f"{name} has changed since it was made")
    return files


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _intact(folder: Path, source: str, *, warn: bool = False) -> dict[str, str] | None:
    try:
        return check(folder, source)
    except FileNotFoundError:
        return None
    except DamagedError as damage:
        if warn:
            log.warning("%s is damaged (%s): making it anew", folder, damage)
        return None


def _build(folder: Path, source: str, build: Callable[[Path], None]) -> dict[str, str]:
    """Only under the lock: whatever unfinished folders there are belong to nobody any more."""
    _remove_unfinished(folder)
    unfinished = folder.with_name(f"{folder.name}.unfinished-{os.getpid()}")
    unfinished.mkdir()
    try:
        build(unfinished)
        files = {path.name: sha256(path) for path in sorted(unfinished.iterdir())}
        text = json.dumps({"source": source, "files": files}, indent=1)
        (unfinished / MANIFEST).write_text(text, encoding="utf-8")
        for path in [*unfinished.iterdir(), unfinished]:
            _to_disk(path)
        if folder.exists():  # a folder that is not empty cannot be renamed over
            folder.rename(folder.with_name(f"{folder.name}.unfinished-old"))
        unfinished.rename(folder)
        _to_disk(folder.parent)
    except OSError as error:
        error.filename = error.filename or str(folder)  # of a full disk, say
        raise
    finally:
        _remove_unfinished(folder)
    return files


def _remove_unfinished(folder: Path) -> None:
    for left_over in folder.parent.glob(f"{folder.name}.unfinished-*"):
        shutil.rmtree(left_over)


def _to_disk(path: Path) -> None:
    """Have the system write `path` out: a power cut must not leave a finished name on missing content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
