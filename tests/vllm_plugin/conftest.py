"""Servers that several tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from vllm_servers import PRESSED, Fleet, serving


@pytest.fixture(scope="session")
def pressed() -> Iterator[Fleet]:
    """Two servers without compilation, short of memory."""
    with serving("eager=true", "sequences=32", f"options={PRESSED}", replicas=2) as fleet:
        yield fleet
