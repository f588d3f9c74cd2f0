"""Text that can be written down and shown: what UTF-8 has no place for, and what a terminal would obey."""

from __future__ import annotations

import re
from typing import Any

from mindgap.core.secrets import excerpt, mask_text

_SURROGATE = re.compile("[\ud800-\udfff]")
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters but tab and line feed, marks and overrides of the direction of writing, odd line ends."""

_OBEYED_IN_A_FILE = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Likewise where lines may end in any way, and marks of direction are part of what was written."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)

FORMULA = frozenset("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
"""What a cell of a spreadsheet begins with that is calculated."""


def encodable(text: str) -> str:
    """`text` with halves of surrogate pairs joined, and those without their other half replaced by U+FFFD.

    JSON can say half a character (`\\ud83d`), Python's strings hold it, and no file, database or terminal takes it.
    """
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mend(record: object, *names: str) -> None:
    """Make the texts in these fields of a frozen record whole, before anybody sees it; None stays None.

    Args:
        record: In its `__post_init__`.
        names: Of the fields.
    """
    for name in names:
        text = getattr(record, name)
        if text is not None and (whole := encodable(text)) is not text:
            object.__setattr__(record, name, whole)


def mend_reason(record: object, name: str) -> None:
    """Likewise of a field that says why something is missing; programs and servers quote secrets there: masked."""
    if (reason := getattr(record, name)) is not None:
        object.__setattr__(record, name, mask_text(encodable(reason)))


def has_half_characters(text: str) -> bool:
    """Whether `text` holds a lone surrogate."""
    return bool(_SURROGATE.search(text)) and "\ufffd" in encodable(text)


def printable(text: str) -> str:
    """`text` for a terminal or a log: what would be obeyed and not shown is spelled out, as Python spells it."""
    return _OBEYED.sub(_spelled, encodable(text))


def _spelled(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def csv_field(value: Any) -> Any:
    """A value for a CSV file that somebody may open in a spreadsheet: text that it would run as a formula gets a `'`.

    As OWASP advises against CSV injection. What a terminal would obey is spelled out. Numbers stay as they are, also
    where they are texts.
    """
    if not isinstance(value, str):
        return value
    text = _OBEYED_IN_A_FILE.sub(_spelled, encodable(value).replace("\0", "\ufffd"))
    runs = text.lstrip(" \n")[:1] in FORMULA and not _NUMBER.fullmatch(text)
    return f"'{text}" if runs else text


def shown(value: Any, longest: int = 120, *, quoted: bool = False) -> str:
    """A value of somebody else's in a message: its first line, no longer than need be, harmless, masked.

    Args:
        value: Of any kind and size.
        longest: Characters that are kept of it.
        quoted: Write it as Python would.
    """
    try:
        text = repr(value) if quoted else str(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested thousands deep
        text = f"(a {type(value).__name__} too long to be shown)"
    text = printable(excerpt(text.split("\n", 1)[0], 8 * longest))
    return text if len(text) <= longest else f"{text[:longest]}…"
