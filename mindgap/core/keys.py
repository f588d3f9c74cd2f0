"""Content keys: hashes that name a request, a score or a measurement by everything that can change it."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_key(kind: str, **parts: Any) -> str:
    """Hex SHA-256 of `parts` as canonical JSON, prefixed by `kind` so that two kinds never collide."""
    text = json.dumps([kind, parts], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
