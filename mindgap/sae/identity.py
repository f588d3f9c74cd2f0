"""What files of any format have in common: what an SAE is called, and which tensors it must hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mindgap.storage.hashes import file_hash


def identity_of(name: str, path: Path, cache: Path | None, *settings: object) -> str:
    """The same wherever the file lies, and another one for other settings."""
    content = json.dumps([file_hash(path, cache), *settings])
    return f"{name}@{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def require(tensors: Mapping[str, object], names: Sequence[str]) -> None:
    """Raise ValueError for tensors that are missing, and unknown ones, which could change what the others mean."""
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"it lacks {', '.join(missing)}; it holds {', '.join(sorted(tensors)) or 'nothing'}")
    if unknown := sorted(tensors.keys() - set(names)):
        raise ValueError(f"it holds {', '.join(unknown)}, whose meaning is not known here")
