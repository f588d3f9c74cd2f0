"""report.html as a file: it holds all it needs, and lets nothing else in."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps import HOSTILE, KINDS, make_cell, write_reports, write_sweep

from mindgap.analysis.compute import compare
from mindgap.presentation.sections import sections
from mindgap.replay.__main__ import main as import_recording
from mindgap.results.files import write_cell
from mindgap.results.imports.written import read_findings
from mindgap.results.sweep import grouped

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def test_only_the_pages_own_scripts_may_run_and_nothing_may_be_fetched(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    policy = policy.replace("&#39;", "'")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and "unsafe" not in rules["script-src"]
    hashes = [hashlib.sha256(script.encode()).digest() for script in SCRIPT.findall(text)]
    assert rules["script-src"].split() == [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
    outside = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=.(https?:)?//", outside)


def test_names_and_replies_reach_the_page_escaped_or_packed(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:4], queries=(HOSTILE, "be terse"), items=4, hostile=True)
    (page,) = write_reports(folder)
    text = page.read_text(encoding="utf-8")
    outside_plotly = "".join(sorted(SCRIPT.split(text), key=len)[:-1])
    assert "window.pwned" in outside_plotly  # it is there, as a label
    assert "<script>window.pwned" not in text and "<img src=x" not in text and "<!--" not in outside_plotly
    assert text.count("</script>") == 4  # the two scripts and the two blocks of data


def test_the_judge_is_named_wherever_its_scores_are_shown() -> None:
    (group,) = grouped([make_cell(Path("study"), kind, items=4, judge="proxy of 2026") for kind in KINDS])
    shown = {section.key: section for section in sections(compare(group), prefix="")}
    assert "proxy of 2026" in shown["comparison"].lead
    for table in shown["comparison"].tables:
        assert any("proxy of 2026" in note for note in table.notes)
    for figure in shown["distributions"].figures:
        assert "proxy of 2026" in figure.caption


def test_failed_cells_and_cells_apart_are_announced(tmp_path: Path) -> None:
    small: dict[str, Any] = {"queries": ("be funny", "be terse"), "items": 4}
    write_sweep(tmp_path / "study", kinds=KINDS[:2], **small)
    folder = tmp_path / "study"
    failed: dict[str, Any] = {"status": "failed", "reason": "out of memory at block 7", "records": (), "metrics": {}}
    write_cell(make_cell(folder, KINDS[2], **failed, **small))
    write_cell(replace(make_cell(folder, KINDS[0], judge="gpt", name="gpt", **small), folder=folder / "gpt"))
    (page,) = write_reports(tmp_path / "study")
    text = page.read_text(encoding="utf-8")
    assert "out of memory at block 7" in text and "nothing is compared across groups" in text


def test_the_same_files_give_the_same_page(sweep: Path, report: Path) -> None:
    before = report.read_bytes()
    (again,) = write_reports(sweep, formats=("html",))
    assert again.read_bytes() == before


def test_what_an_import_noticed_is_said_at_the_top(tmp_path: Path) -> None:
    recording, folder = tmp_path / "recording.csv", tmp_path / "study"
    scores = {"Nothing": (2, 3), "Steered": (4, 0)}  # no score is 0
    with recording.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("wish", "arm", "user", "reply", "shown"))
        writer.writerows(
            ("be funny", arm, f"Question {row}?", "A reply.", score)
            for arm, two in scores.items()
            for row, score in enumerate(two)
        )
    own_map = tmp_path / "own.yaml"
    own_map.write_text(
        "{source: a test, model: small, judge: somebody,"
        " columns: {query: wish, method: arm, prompt: user, response: reply, behaviour: shown}}",
        encoding="utf-8",
    )
    assert import_recording([str(recording), str(folder), f"map={own_map}", "resamples=100"]) == 0
    (page,) = write_reports(folder)
    top = html.unescape(page.read_text(encoding="utf-8").partition("<nav")[0])
    problem, *others = read_findings(folder)
    assert (problem.kind, problem.method, problem.count) == ("score_out_of_range", "Steered", 1)
    for finding in (problem, *others):
        assert f"{finding.method or 'all methods'} ({finding.count} of {finding.of}): {finding.says}" in top
