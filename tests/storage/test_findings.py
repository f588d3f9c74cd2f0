"""What is found out once is kept, and the first to find it out counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mindgap.storage.findings import finding


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINDGAP_CACHE", str(tmp_path))
    return tmp_path


def never() -> dict[str, Any]:
    raise AssertionError("it is known, or could not be kept")


def test_it_is_found_out_once(cache: Path) -> None:
    assert finding("speeds", "a", lambda: {"fast": True}) == {"fast": True}
    assert finding("speeds", "a", never) == {"fast": True}


def test_of_two_that_find_it_out_at_a_time_the_first_counts(cache: Path) -> None:
    def slower() -> dict[str, Any]:
        assert finding("speeds", "a", lambda: {"fast": True}) == {"fast": True}
        return {"fast": False}

    assert finding("speeds", "a", slower) == {"fast": True}


@pytest.mark.parametrize("damaged", ['{"fa', "[1]", "\x00"])
def test_a_damaged_file_is_as_none(cache: Path, damaged: str) -> None:
    finding("speeds", "a", lambda: {"fast": True})
    (cache / "speeds" / "a.json").write_text(damaged)
    assert finding("speeds", "a", lambda: {"fast": False}) == {"fast": False}
    assert finding("speeds", "a", never) == {"fast": False}


def test_what_cannot_be_kept_is_not_found_out(cache: Path) -> None:
    (cache / "speeds").touch()
    with pytest.raises(FileExistsError):
        finding("speeds", "a", never)
