"""Tables for a paper: readable numbers, and names that cannot break out of a table."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from sweeps import KINDS, write_reports, write_sweep

from mindgap.core.estimate import Estimate
from mindgap.core.wording import decimal, percent
from mindgap.presentation.tables import Number, Table, latex, markdown, number

AWKWARD = "a|b_c & 5 % {x} \\input{/etc/passwd} <b>\n$y^2$ #~`"
TABLE = Table("t", AWKWARD, ("cell", "Score"), ((AWKWARD, Number("−0.10", "−0.20 to 0.00", "down")),), (AWKWARD,))


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.004, "0.00"), (0.0, "0.00"), (-0.1, "−0.10"), (2.345, "+2.35"), (0.004, "0.00")]
)
def test_a_number_has_a_true_minus_and_no_negative_zero(value: float, shown: str) -> None:
    assert decimal(value, 2, signed=True) == shown


def test_what_is_not_known_is_a_dash_and_what_has_no_interval_has_none() -> None:
    assert number(None, 2) == number(Estimate(None, None, None, 0), 2) == Number("–")
    assert number(Estimate(1.0, None, None, 1), 2) == Number("1.00")


def test_no_share_is_called_certain_that_is_not() -> None:
    assert [percent(share) for share in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]


def test_markdown_has_as_many_columns_in_every_row_whatever_the_names() -> None:
    rows = [line for line in markdown(TABLE).splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert {len(row.replace("\\|", "").split("|")) for row in rows} == {4}
    assert "<b>" not in markdown(TABLE).replace("\\<b\\>", "")
    assert "−0.10\\* [−0.20, 0.00]" in rows[-1]


def test_latex_escapes_what_latex_reads() -> None:
    text = latex(TABLE, label="t")
    row = next(line for line in text.splitlines() if "scriptsize" in line)
    assert r"\textbackslash{}input\{/etc/passwd\}" in row and r"\input{" not in text
    assert row.replace(r"\&", "").count("&") == 1 and row.endswith(r"\\[2pt]")
    assert r"5 \% \{x\}" in row and r"$-$0.10*\\ {\scriptsize [$-$0.20, 0.00]}" in row
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a TeX")
def test_tables_compile_and_none_is_wider_than_its_column(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", queries=("be funny", "be terse"), items=4)
    write_reports(folder, formats=("latex",))
    document = (
        r"\documentclass[twocolumn]{article}\usepackage{booktabs,graphicx}\usepackage[utf8]{inputenc}"
        r"\begin{document}\input{tables.tex}\end{document}"
    )
    (folder / "paper.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "paper.pdf").is_file() and "Overfull \\hbox" not in done.stdout


def test_a_sweep_gives_both(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:3], queries=("be funny", "be terse"), items=4)
    md, tex = write_reports(folder, formats=("markdown", "latex"))
    assert "| Prompting |" in md.read_text(encoding="utf-8")
    assert (
        tex.read_text(encoding="utf-8").count(r"\toprule") == tex.read_text(encoding="utf-8").count(r"\bottomrule") > 2
    )
    assert (folder / "comparison.json").is_file()
