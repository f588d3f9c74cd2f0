"""The folder for what can be made again: converted models, hashes, unpacked packages."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where mindgap keeps what it can make again: `MINDGAP_CACHE`, else the user's cache folder on this system."""
    import platformdirs

    return Path(os.environ.get("MINDGAP_CACHE") or platformdirs.user_cache_dir("mindgap")).expanduser()
