"""What to do where a disk does not take what is written to it, or a folder lets nobody in."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mindgap.storage.cache import cache_folder

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG)


def disk_trouble(error: BaseException) -> str | None:
    """What is wrong, what is safe and what to do, in a sentence or two; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in (*FULL, *CLOSED, errno.EIO):
        return None
    where = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    cached = where is not None and where.absolute().is_relative_to(cache_folder().absolute())
    other = "export MINDGAP_CACHE=/some/folder" if cached else "outputs=DIR"
    if error.errno in FULL:
        do = f"make room, and the same command goes on; or choose another folder: {other}"
    elif error.errno in CLOSED:
        do = f"let its folder be written to, or choose another one: {other}"
    else:
        do = "once the disk or its connection is mended, the same command goes on"
    return f"{where or 'a file'} cannot be used: {os.strerror(error.errno)}. What was saved before is safe: {do}"
