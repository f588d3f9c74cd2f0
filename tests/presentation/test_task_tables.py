"""One table across the tasks of a sweep: every method's row has each task's own difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps import KINDS, compared, make_cell, write_reports

from mindgap.presentation.task_tables import task_tables
from mindgap.results.files import write_cell

SMALL: dict[str, Any] = {"queries": ("be funny", "be terse"), "items": 6}
CELLS = (KINDS[0], KINDS[1], KINDS[2])


def written(folder: Path, tasks: dict[str, tuple]) -> Path:
    for task, kinds in tasks.items():
        for kind in kinds:
            cell = make_cell(folder, kind, **SMALL)
            config = {
                **cell.config,
                "task": {"name": task, "max_tokens": len(task)},
                "decoding": {"max_tokens": len(task)},
            }
            name = f"{cell.name}-{task}"
            write_cell(replace(cell, name=name, folder=folder / name, config=config))
    return folder


def test_a_row_a_method_and_a_column_for_what_each_task_measures(tmp_path: Path) -> None:
    comparison = compared(written(tmp_path / "s", {"mmlu": CELLS, "gsm8k": CELLS[:2]}))
    assert [group.group.title.rpartition(" · ")[2] for group in comparison.groups] == [
        "task.name=mmlu",
        "task.name=gsm8k",
    ]
    (table,) = task_tables(comparison.groups)
    assert table.columns == (
        "cell",
        "mmlu: Behaviour (1-5)",
        "mmlu: Accuracy, all",
        "gsm8k: Behaviour (1-5)",
        "gsm8k: Accuracy, all",
    )
    control, prompting, vector = table.rows
    assert (control[0], prompting[0], vector[0]) == ("Control, mean", "Prompting", "Vector (dose 0.1)")
    mmlu, gsm8k = comparison.groups
    for group, column in ((mmlu, 1), (gsm8k, 3)):
        estimate = group.others[0].differences["behaviour"].estimate
        assert prompting[column].main.lstrip("+−") == f"{abs(estimate.value):.2f}"
        assert control[column].main == f"{group.reference.cell.metrics['behaviour'].value:.2f}"
    assert vector[3].main == vector[4].main == "–"  # not run on that task


def test_reports_have_it_and_a_sweep_of_one_task_has_none(tmp_path: Path) -> None:
    title = "What each method does on each task"
    folder = written(tmp_path / "two", {"mmlu": CELLS[:2], "gsm8k": CELLS[:2]})
    for path in write_reports(folder, formats=("html", "markdown", "latex")):
        assert title in path.read_text(encoding="utf-8")
    alone = written(tmp_path / "one", {"mmlu": CELLS[:2]})
    assert task_tables(compared(alone).groups) == ()
    assert title not in write_reports(alone)[0].read_text(encoding="utf-8")
