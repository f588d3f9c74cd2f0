"""Texts that every file and database can hold: half characters, as a broken stream leaves them, are replaced."""

from __future__ import annotations

import re

_HALF = re.compile("[\ud800-\udfff]")


def whole_text(text: str) -> str:
    """`text` with each lone surrogate as U+FFFD; two that belong together become their character."""
    if not _HALF.search(text):
        return text
    return _HALF.sub("\ufffd", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def mend(record: object, *names: str) -> None:
    """Make the texts in these fields of a frozen record whole, before anybody sees it; None stays None.

    Args:
        record: In its `__post_init__`.
        names: Of the fields.
    """
    for name in names:
        text = getattr(record, name)
        if text is not None and (whole := whole_text(text)) is not text:
            object.__setattr__(record, name, whole)


def has_half_characters(text: str) -> bool:
    """Whether `text` holds a lone surrogate."""
    return bool(_HALF.search(text)) and "\ufffd" in whole_text(text)
