"""Makes this folder's helpers importable, and gives a written sweep and a browser to look at it with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chromium import Chromium, chromium_path
from sweeps import write_sweep

from mindgap.report.write import write_report


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished sweep: 8 cells, 14 queries, 40 items."""
    return write_sweep(tmp_path_factory.mktemp("outputs") / "study")


@pytest.fixture(scope="session")
def report(sweep: Path) -> Path:
    """Its HTML report, written once."""
    (page,) = write_report(sweep, formats=("html",))
    return page


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A headless Chromium; tests that need it skip where none is installed."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium on this machine")
    with Chromium(path, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
