"""`python -m mindgap.report`: what a user types, and what comes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sweeps import KINDS, write_sweep

from mindgap.report.__main__ import main


def test_reports_are_written_beside_the_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=("be funny", "be terse"), items=4)
    assert main([str(folder), "--format", "html,markdown,latex"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(folder / name) for name in ("report.html", "report.md", "tables.tex")]
    assert all(Path(path).stat().st_size for path in printed)


def test_paths_below_the_current_folder_are_told_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=("be funny",), items=4)
    monkeypatch.chdir(tmp_path)
    assert main(["study"]) == 0
    assert capsys.readouterr().out == "study/report.html\n"


def test_another_question_is_answered_where_it_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=("be funny", "be terse"), items=4)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out.split() == [str(folder / "report.html")]
    assert main([str(folder), "--reference", "prompt"]) == 0
    path, answer = capsys.readouterr().out.split("\n\n")
    assert path == str(folder / "report.html")
    assert "Prompting" in answer and answer.strip() in (folder / "comparison.json").read_text(encoding="utf-8")


def test_a_wrong_folder_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mindgap.report", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "there is no such folder" in done.stderr


@pytest.mark.parametrize(
    ("option", "hint"), [("--format=docx", "html, markdown, latex, svg, pdf, png"), ("--max-samples=0", "1 or more")]
)
def test_a_wrong_option_says_what_would_do(
    tmp_path: Path, option: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), option])
    assert ended.value.code == 2 and hint in capsys.readouterr().err


def test_a_copied_cell_is_refused_not_counted_twice(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=("be funny", "be terse"), items=4)
    copy = folder / "tiny-prompt-none (copy)"
    copy.mkdir()
    for path in (folder / "tiny-prompt-none").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert main([str(folder)]) == 2


def test_published_figures_stand_beside_ours_in_the_terminal_and_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=("be funny",), items=4)
    assert main([str(folder)]) == 0
    assert 'id="g1-comparison"' in (folder / "report.html").read_text(encoding="utf-8")
    assert "published figures" not in (folder / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main([str(folder), "--against", "paper"]) == 0
    assert "Beside the published figures of" in capsys.readouterr().out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert 'id="against"' in page and "Beside the published figures of" in page


def test_figures_that_are_not_there_end_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:2], queries=("be funny",), items=4)
    assert main([str(folder), "--against", "papr"]) == 2
    assert "against=papr" in capsys.readouterr().err


def test_a_place_at_w_and_b_without_w_and_b_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--project", "steering"])
    assert ended.value.code == 2 and "--tracker wandb" in capsys.readouterr().err
