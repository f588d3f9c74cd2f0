"""What judging a cell cost reaches every place where the cell is told of."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply
from rich.console import Console

from mindgap.core.records import JudgeRequest
from mindgap.judges.fetch import judgements
from mindgap.judges.llm import LLMJudge
from mindgap.results.cell import CellResult
from mindgap.results.files import METRICS_FILE, SUMMARY, read_cell, write_cell, write_summary
from mindgap.results.sweep import SweepResults, grouped
from mindgap.storage.store import Store
from mindgap.study.progress import Progress
from mindgap.study.terminal import print_summary
from mindgap.tracking.wandb_run import run_content


def cell(folder: Path, judge_usd: float | None) -> CellResult:
    return CellResult(
        name=folder.name,
        sweep="s",
        model="tiny",
        method="prompt",
        label="Prompt",
        strength="none",
        judge="gpt-4o-mini",
        status="finished",
        folder=folder,
        judge_usd=judge_usd,
        counts={"samples": 3},
    )


def test_a_cell_costs_what_its_judgements_cost_whenever_they_were_made(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.script(Reply(json.dumps({"analysis": "", "behaviour": 4, "coherence": 5}), usage=(1000, 100)))
    judge = LLMJudge(model="openai/x", api_base=chat_server.url, key_env=None, usd_per_million=(1.0, 10.0))
    store = Store(tmp_path / "store.sqlite")

    def cost(judge: LLMJudge, count: int) -> float | None:
        progress = Progress(Console(file=io.StringIO()), "cell")
        cases = [JudgeRequest("be funny", "", "Why?", "" if n == 0 else f"text {n}") for n in range(count)]
        with progress.counting("judging", count) as done:
            judgements(cases, judge, store, lambda key, judgement, known: done(key, known, usd=judgement.cost_usd))
        return progress.usd

    assert cost(judge, 5) == pytest.approx(4 * 0.002)
    assert cost(judge, 7) == pytest.approx(6 * 0.002), (
        "four from the store, two new, and an empty one that costs nothing"
    )
    assert cost(replace(judge, model="openai/y", usd_per_million=None), 5) is None


def test_it_is_in_the_files_in_wandb_and_in_the_table(tmp_path: Path) -> None:
    cells = [cell(tmp_path / "a", 0.0123), cell(tmp_path / "b", None)]
    for result in cells:
        write_cell(result)
        assert read_cell(result.folder) == result
    write_summary(tmp_path, cells)
    with (tmp_path / SUMMARY).open(newline="") as file:
        assert [row["judge_usd"] for row in csv.DictReader(file)] == ["0.0123", ""]
    assert run_content(cells[0], (), 10).numbers["judge_usd"] == 0.0123
    assert "judge_usd" not in run_content(cells[1], (), 10).numbers
    printed = io.StringIO()
    print_summary(Console(file=printed, width=140), SweepResults(tmp_path, grouped(cells)))
    assert "0.0123" in printed.getvalue()
    assert "?" in printed.getvalue()
    printed = io.StringIO()
    print_summary(Console(file=printed, width=140), SweepResults(tmp_path, grouped(cells[1:])))
    assert "USD" not in printed.getvalue(), "a judge without a price has no column for it"


def test_a_cell_of_an_earlier_version_can_still_be_read(tmp_path: Path) -> None:
    write_cell(cell(tmp_path / "a", 0.5))
    path = tmp_path / "a" / METRICS_FILE
    known = json.loads(path.read_text())
    del known["judge_usd"]
    path.write_text(json.dumps(known))
    assert read_cell(tmp_path / "a").judge_usd is None
