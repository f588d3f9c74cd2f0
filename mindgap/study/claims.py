"""Claims: which job of a sweep works on which cell, so that equal jobs make one cell, also between processes.

A claim is a file in the cell's folder that names its owner. A job that was killed and started again, by a cluster's
scheduler or by whatever runs it, takes its cell over. All claims of a sweep go when it ends; those of a sweep that was
killed go when the next one of that name begins.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from mindgap.core.errors import ConfigError
from mindgap.results.files import METRICS_FILE
from mindgap.storage.atomic import UNFINISHED

CLAIM = ".running"


@dataclass(frozen=True)
class Owner:
    """A process that works on a cell.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        created: When it was started, in seconds since 1970: numbers of processes come again.
        job: What the cluster's scheduler calls its job and its place in it; None = none has started it.
        attempt: How often the scheduler has started that job again.
    """

    host: str
    pid: int
    created: float
    job: str | None = None
    attempt: int = 0


def claim(cell_folder: Path) -> bool:
    """Whether this job is to make the cell: no other has taken it, or the one that had is gone and left no result."""
    path = cell_folder / CLAIM
    if _written(path):
        return True
    if (cell_folder / METRICS_FILE).exists() or not _gone(_owner(path)):
        return False
    with FileLock(cell_folder / f"{CLAIM}.lock"):
        if not _gone(_owner(path)):  # another job was faster
            return False
        path.unlink()
        return _written(path)


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
    for unfinished in sweep_folder.rglob(UNFINISHED):  # nobody works here, so nobody will rename them into place
        unfinished.unlink(missing_ok=True)


def release(sweep_folder: Path) -> None:
    """Remove all claims of a sweep that has ended."""
    for path in sweep_folder.glob(f"*/{CLAIM}*"):
        path.unlink(missing_ok=True)


def at_work(sweep_folder: Path) -> tuple[str, ...]:
    """Names of the cells that some process still works on, or may."""
    claims = ((path.parent.name, _owner(path)) for path in sorted(sweep_folder.glob(f"*/{CLAIM}")))
    return tuple(cell for cell, owner in claims if owner is not None and _at_work(owner))


def _written(path: Path) -> bool:
    """Write this process's claim, unless there is one."""
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(asdict(_me()), file)
    except FileExistsError:
        return False
    return True


def _me() -> Owner:
    import psutil

    job, attempt = _scheduled()
    return Owner(socket.gethostname(), os.getpid(), psutil.Process().create_time(), job, attempt)


def _scheduled() -> tuple[str | None, int]:
    """What SLURM calls this job and this task in it, and how often it has started the job again."""
    if (job := os.environ.get("SLURM_JOB_ID")) is None:
        return None, 0
    return f"slurm {job} {os.environ.get('SLURM_PROCID', '0')}", int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def _gone(owner: Owner | None) -> bool:
    """Whether the owner certainly works on it no longer. One that does not say who it is may be about to."""
    if owner is None or owner.pid == os.getpid():
        return False
    job, attempt = _scheduled()
    if job is not None and job == owner.job:
        return attempt > owner.attempt
    return not _at_work(owner)


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
