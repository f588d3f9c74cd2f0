"""Content keys: hashes that name a request, a score or a measurement by everything that can change it."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_key(kind: str, **parts: Any) -> str:
    """A hash that names a thing by its content: equal parts, equal key.

    Args:
        kind: What is named; two kinds never share a key.
        parts: Everything that can change the thing, as JSON values.

    Returns:
        Hex SHA-256 of the canonical JSON.
    """
    text = json.dumps([kind, parts], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
