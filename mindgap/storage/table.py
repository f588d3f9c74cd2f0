"""Writes rows as a CSV file that a spreadsheet opens without running anything in it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindgap.storage.atomic import replacing

_FORMULA = re.compile(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def defused(value: Any) -> Any:
    """`value`, a text that a spreadsheet would take for a formula with an apostrophe before it, as OWASP has it.

    Replies of models and texts of recordings are anybody's; numbers stay numbers, also where they are texts.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file whole, in UTF-8. An empty field is a missing value.

    Args:
        path: The file; one that is there is replaced.
        columns: In this order.
        rows: Values by column.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writerow({column: defused(column) for column in columns})
        writer.writerows({column: defused(value) for column, value in row.items()} for row in rows)
