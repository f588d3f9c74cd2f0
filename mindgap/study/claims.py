"""Claims: which job of a sweep works on which cell, so that equal jobs make one cell, also between processes.

A claim is a file in the cell's folder that names its owner. All claims of a sweep go when it ends; those of a sweep
that was killed go when the next one of that name begins.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from mindgap.core.errors import ConfigError

CLAIM = ".running"


@dataclass(frozen=True)
class Owner:
    """A process that works on a cell.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        created: When it was started, in seconds since 1970: numbers of processes come again.
    """

    host: str
    pid: int
    created: float


def claim(cell_folder: Path) -> bool:
    """Whether this job is the first of the sweep to take the cell in `cell_folder`."""
    try:
        with (cell_folder / CLAIM).open("x", encoding="utf-8") as file:
            json.dump(asdict(_me()), file)
    except FileExistsError:
        return False
    return True


def refuse_running(sweep_folder: Path) -> None:
    """Remove what a killed sweep of this name has left. Raises ConfigError where one is still running."""
    for path in sorted(sweep_folder.glob(f"*/{CLAIM}")):
        owner = _owner(path)
        if owner is not None and _at_work(owner):
            raise ConfigError(
                f"sweep={sweep_folder.name} is being run already, by process {owner.pid} on {owner.host}: wait for it, "
                f"or choose another name. If nothing works on it any more, delete {path}"
            )
        path.unlink(missing_ok=True)


def release(sweep_folder: Path) -> None:
    """Remove all claims of a sweep that has ended."""
    for path in sweep_folder.glob(f"*/{CLAIM}"):
        path.unlink(missing_ok=True)


def _me() -> Owner:
    import psutil

    return Owner(socket.gethostname(), os.getpid(), psutil.Process().create_time())


def _owner(path: Path) -> Owner | None:
    """Whose claim it is; None where the file does not say (version 0.1 wrote it empty)."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _at_work(owner: Owner) -> bool:
    """Whether another process still works on it. Of another machine's that is not known, so it is taken to be."""
    import psutil

    if owner.host != socket.gethostname():
        return True
    if owner.pid == os.getpid():
        return False
    try:
        process = psutil.Process(owner.pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - owner.created) < 1
    except psutil.NoSuchProcess:
        return False
