"""What was found out once, about a model or this machine, kept as JSON in the cache folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mindgap.storage.atomic import replacing
from mindgap.storage.cache import cache_folder


def finding(kind: str, key: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is kept under `key`, or what `find` tells now, which is kept.

    Of processes that find it out at the same time, the first one's counts for all. A damaged file is as none.

    Args:
        kind: Folder in the cache folder.
        key: Says what it is about; a file name.
        find: Takes its time; the result is JSON.

    Raises:
        OSError: It cannot be kept. `find` was not called if that shows before.
    """
    import filelock

    path = cache_folder() / kind / f"{key}.json"
    if (kept := _read(path)) is not None:
        return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    found = find()
    with filelock.FileLock(path.with_suffix(".lock")):
        if (kept := _read(path)) is not None:
            return kept
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")
    return found


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept if isinstance(kept, dict) else None
    return None
