"""What a person reads on the terminal: settings that are not the defaults, and tables that fit."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sweeps import KINDS, QUERIES, write_sweep

from mindgap.core.compose import composed, config_folder
from mindgap.judges.proxy import OUTSIDE
from mindgap.results.files import write_cell
from mindgap.results.sweep import read_sweep
from mindgap.study.differing import differing
from mindgap.study.terminal import print_summary


def told(*overrides: str) -> dict[str, str]:
    return differing(composed(["tracker=none", *overrides], config_folder()))


def test_what_is_as_it_is_by_default_is_not_told() -> None:
    assert told() == {}
    assert told("sweep=x", "outputs=y", "method=vector", "strength=dose") == {}  # cells are named by the last two


def test_options_and_settings_are_told_as_they_are_typed() -> None:
    assert told("task=starter_open", "task.limit=6", "decoding.max_tokens=48", "seed=3", "judge=proxy") == {
        "task": "starter_open",
        "judge": "proxy",
        "task.limit": "6",
        "decoding.max_tokens": "48",
        "seed": "3",
    }


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_no_number_is_folded(tmp_path: Path, width: int) -> None:
    sweep = read_sweep(write_sweep(tmp_path / "study", kinds=KINDS[:4], queries=QUERIES[:3], items=6))
    file = io.StringIO()
    print_summary(Console(file=file, width=width), sweep)
    printed = file.getvalue()
    assert max(map(len, printed.splitlines()[:12])) <= width
    for cell in sweep.pooled:
        for name in ("behaviour", "coherence", "accuracy", "repetition"):
            estimate = cell.metrics[name]
            digits = next(measure.digits for measure in cell.measures if measure.name == name)
            assert f"[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]" in printed
    assert "Intervals (behaviour): for these 3 queries" in printed


def test_files_below_the_current_folder_are_named_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = read_sweep(write_sweep(tmp_path / "outputs" / "study", kinds=KINDS[:2], queries=QUERIES[:3], items=6))

    def lines() -> list[str]:
        file = io.StringIO()
        print_summary(Console(file=file, width=140), sweep)
        return file.getvalue().splitlines()

    assert f"summary  {tmp_path}/outputs/study/summary.csv" in lines()
    monkeypatch.chdir(tmp_path)
    assert "summary  outputs/study/summary.csv" in lines()


def test_the_summary_says_how_many_replies_the_proxy_judge_has_seen_nothing_like(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:1], queries=QUERIES[:3], items=4)
    cell = read_sweep(folder).pooled[0]
    analyses = [
        f"proxy: repetition 0.00; {OUTSIDE}: digits" if n < 3 else record.analysis
        for n, record in enumerate(cell.records)
    ]
    records = tuple(replace(record, analysis=said) for record, said in zip(cell.records, analyses, strict=True))
    write_cell(replace(cell, records=records))
    file = io.StringIO()
    print_summary(Console(file=file, width=140), read_sweep(folder))
    assert f"Judge: 3 of 12 replies (25%) lie {OUTSIDE}" in file.getvalue()
