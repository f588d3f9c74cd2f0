"""A store that was damaged, is of another version or has no room: what is said, what is saved, what goes on."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mindgap.core.errors import UnavailableError
from mindgap.core.records import Completion, Judgement, Score
from mindgap.storage.store import LAYOUT, Store
from mindgap.store import main

ROWS = 2000
REPLY = Completion("text " * 40, "stop", 5, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a store ü" / "store.sqlite"
    store = Store(path)
    for number in range(ROWS):
        store.put_completion(f"key{number}", REPLY)
    store.put_judgement("judged", Judgement(Score(4), Score(5)))
    store.put_array("measured", np.arange(4, dtype=np.float32))
    store.close()
    return path


def test_a_whole_store_is_told_to_be(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(path)]) == 0
    assert f"1 array, {ROWS} completion, 1 judgement" in capsys.readouterr().out


def test_a_damaged_record_is_told_made_anew_and_pruned(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE record SET value = ? WHERE key = 'key1'", (b'{"text": "half',))
        db.execute("UPDATE record SET value = ? WHERE key = 'measured'", (b"[3]\nx",))
    db.close()
    assert main(["check", str(path)]) == 1
    assert "damaged: 1 array, 1 completion" in capsys.readouterr().out
    store = Store(path)
    assert store.completions(["key0", "key1"]) == {"key0": REPLY}
    assert store.array("measured") is None
    store.put_completion("key1", REPLY)
    store.close()
    assert main(["prune", str(path)]) == 0
    assert "1 records removed" in capsys.readouterr().out
    assert main(["check", str(path)]) == 0


def test_pruning_a_kind_makes_the_file_small(path: Path) -> None:
    before = path.stat().st_size
    assert main(["prune", str(path), "completion"]) == 0
    assert path.stat().st_size < before / 4
    assert Store(path).judgements(["judged"])


def test_stores_are_put_together_and_nothing_is_replaced(path: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other.sqlite")
    other.put_completion("key0", Completion("mine", "stop"))
    other.close()
    assert main(["merge", str(tmp_path / "other.sqlite"), str(path)]) == 0
    merged = Store(tmp_path / "other.sqlite")
    assert merged.completions(["key0"])["key0"].text == "mine"
    assert len(merged.completions(f"key{number}" for number in range(ROWS))) == ROWS
    assert len(Store(path).completions(f"key{number}" for number in range(ROWS))) == ROWS


@pytest.mark.parametrize("part", [0.3, 0.6])
def test_what_can_be_read_of_an_overwritten_store_is_saved(
    path: Path, tmp_path: Path, part: float, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(path.read_bytes())
    start = int(len(data) * part)
    data[start : start + 8192] = os.urandom(8192)
    path.write_bytes(data)
    assert main(["check", str(path)]) == 1
    assert "saves what can be read" in capsys.readouterr().out
    saved = tmp_path / "saved.sqlite"
    main(["merge", str(saved), str(path)])
    kept = Store(saved).completions(f"key{number}" for number in range(ROWS))
    assert ROWS * 0.9 < len(kept) < ROWS
    assert set(kept.values()) == {REPLY}, "nothing wrong is saved"
    assert main(["check", str(saved)]) == 0


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes(
        {"truncated": data[: len(data) // 2], "text": b"this is no database" * 100, "zeros": bytes(len(data))}[how]
    )


@pytest.mark.parametrize("how", ["truncated", "text", "zeros"])
def test_a_damaged_store_stops_with_what_to_do(path: Path, how: str) -> None:
    damage(path, how)
    before = path.read_bytes()

    def use() -> None:
        store = Store(path)
        store.completions(f"key{number}" for number in range(ROWS))
        store.put_completion("new", REPLY)

    with pytest.raises(UnavailableError, match=r"store .* cannot be .*python -m mindgap\.store merge") as refused:
        use()
    assert "\n" not in str(refused.value)
    if how != "truncated":
        assert path.read_bytes() == before


def test_an_empty_file_is_an_empty_store(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.touch()
    assert Store(path).completions(["a"]) == {}


def test_a_store_of_an_older_version_is_read_and_of_a_newer_refused_untouched(path: Path) -> None:
    for layout in (0, LAYOUT + 1):
        with sqlite3.connect(path) as db:
            db.execute(f"PRAGMA user_version={layout}")
        db.close()
        if layout == 0:
            Store(path).close()
        else:
            with pytest.raises(UnavailableError, match=r"newer mindgap.*nothing in it was changed"):
                Store(path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE record (id, data)")
    db.close()
    with pytest.raises(UnavailableError, match="is not mindgap's"):
        Store(path)


@pytest.mark.parametrize("words", [["check", "nowhere.sqlite"], ["merge", "new", "nowhere"], ["prune", "x"], ["fold"]])
def test_a_mistake_is_one_sentence(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; skips where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_that_was_saved_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    path = small_disk / "store.sqlite"
    store = Store(path)
    saved = []

    def fill() -> None:
        for number in range(100_000):
            store.put_completion(f"key{number}", REPLY)
            saved.append(f"key{number}")

    with pytest.raises(UnavailableError, match=r"The disk is full\. What it holds is safe: make room"):
        fill()
    store.close()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    again = Store(path)
    assert len(again.completions(saved)) == len(saved) > 100
    again.put_completion("new", REPLY)


@pytest.mark.skipif(sys.platform != "linux" or not Path("/dev/full").exists(), reason="needs Linux")
def test_a_store_in_a_folder_that_is_none_is_refused() -> None:
    with pytest.raises(UnavailableError, match="store=FILE"):
        Store(Path("/dev/full/store.sqlite"))
