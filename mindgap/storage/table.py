"""Writes rows as a CSV file that a spreadsheet opens without running anything in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindgap.core.characters import csv_field
from mindgap.storage.atomic import replacing


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file whole, in UTF-8. An empty field is a missing value.

    Args:
        path: The file; one that is there is replaced.
        columns: In this order.
        rows: Values by column.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writerow({column: csv_field(column) for column in columns})
        writer.writerows({column: csv_field(value) for column, value in row.items()} for row in rows)
