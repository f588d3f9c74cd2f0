"""Text that can be written down: what UTF-8 has no place for is replaced, once, where text comes in."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """`text` with halves of surrogate pairs joined, and those without their other half replaced by U+FFFD.

    JSON can say half a character (`\\ud83d`), Python's strings hold it, and no file, database or terminal takes it.
    """
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
