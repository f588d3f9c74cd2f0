"""A written sweep, and its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeps import write_reports, write_sweep


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished sweep: 8 cells, 14 queries, 40 items."""
    return write_sweep(tmp_path_factory.mktemp("outputs") / "study")


@pytest.fixture(scope="session")
def report(sweep: Path) -> Path:
    """Its HTML report, written once."""
    (page,) = write_reports(sweep, formats=("html",))
    return page
