"""Numbers as people read them: real minus signs, no negative zero, no false certainty."""

from __future__ import annotations

MINUS = "−"


def decimal(value: float, digits: int, *, signed: bool = False) -> str:
    """`value` with a real minus sign and no negative zero.

    Args:
        value: The number.
        digits: After the point.
        signed: Whether a positive number gets a plus.
    """
    rounded = round(value, digits) + 0.0
    text = f"{abs(rounded):.{digits}f}"
    if float(text) == 0:
        return text
    return (MINUS if rounded < 0 else "+" if signed else "") + text


def percent(share: float) -> str:
    """A share in [0, 1] as whole percent, without claiming that anything is certain."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 < share < 1 else f"{share:.0%}".replace("%", " %")


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 item`, `2 items`, `1,000 queries`.

    Args:
        count: How many.
        one: Of the thing.
        many: Of several; None = with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """`40 s`, `3 min`."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
