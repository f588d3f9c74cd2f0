"""Files by the names that settings give them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

SHIPPED = "mindgap:"
"""What a name begins with that is one of this package's own."""


def named_file(name: str) -> Path:
    """Where a file lies: one of the user's, or `mindgap:NAME`, one of those that travel with this package."""
    if name.startswith(SHIPPED):
        return Path(str(files("mindgap").joinpath("data", name.removeprefix(SHIPPED))))
    return Path(name).expanduser()
