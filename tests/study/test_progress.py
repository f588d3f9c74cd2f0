"""What a person sees of a stage while it lasts."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from mindgap.study.progress import Progress


def lines(monkeypatch: pytest.MonkeyPatch, seconds_each: float, *, quiet: bool = False) -> list[str]:
    """What goes to a file while ten things are done, each of which takes `seconds_each`."""
    clock = [0.0]
    # For that module alone: an event loop in another thread that saw this clock would sleep until the real one's time.
    monkeypatch.setattr("mindgap.study.progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    file = io.StringIO()
    with Progress(Console(file=file, quiet=quiet, width=100), "4 cells").counting("generating", 10) as done:
        for number in range(10):
            clock[0] += seconds_each
            done(str(number), number < 2, tokens=30)
    return file.getvalue().splitlines()


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, 8.0)[0] == "4 cells  generating  2/10  2 cached  64 s left"
    assert lines(monkeypatch, 8.0)[-1] == "4 cells  generating  10/10  3 tokens/s  2 cached"
    assert len(lines(monkeypatch, 8.0)) == 5


def test_a_stage_of_seconds_says_nothing_and_neither_does_a_quiet_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, 0.1) == []
    assert lines(monkeypatch, 8.0, quiet=True) == []
