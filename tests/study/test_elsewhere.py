"""Jobs that run elsewhere: their files are told of while they run; stores of several nodes are one afterwards."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from sweeps import KINDS, QUERIES, make_cell

from mindgap.core.compose import composed, config_folder
from mindgap.results.files import METRICS_FILE, write_cell
from mindgap.store import main as care_of_stores
from mindgap.study import progress
from mindgap.study.claims import CLAIM
from mindgap.study.elsewhere import Telling
from mindgap.study.names import CellName
from mindgap.study.run_log import LOG
from mindgap.study.sweep import run_sweep


def test_cells_are_told_of_when_they_are_done_and_those_at_work_by_their_logs(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, kind, queries=QUERIES[:1], items=2) for kind in KINDS[:3]]
    names = [CellName(cell.name, cell.label, number, 3) for number, cell in enumerate(cells, 1)]
    write_cell(cells[0])  # of an earlier run
    file = io.StringIO()
    telling = Telling(tmp_path, names, Console(file=file, width=200))
    write_cell(cells[1])
    cells[2].folder.mkdir()
    (cells[2].folder / CLAIM).touch()
    (cells[2].folder / LOG).write_text(
        f"2026-11-27 10:00:00,000 INFO {progress.__name__}: generating  32/54  120 tokens/s\n"
        "2026-11-27 10:00:01,000 INFO another.module: something else\n"
    )
    telling._finished()
    telling._how_far()
    telling._finished()
    done, at_work, stage = file.getvalue().splitlines()
    assert done.startswith(f"done    1 of 3  {cells[1].label}: ") and "made" in done
    assert at_work == "at work on 1 cell, 1 of 3 done:"
    assert stage.split() == [*cells[2].label.split(), "generating", "32/54", "120", "tokens/s"]


def test_a_cell_that_is_written_anew_is_told_of_once(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, KINDS[0], queries=QUERIES[:1], items=2)
    write_cell(cell)
    file = io.StringIO()
    telling = Telling(tmp_path, [CellName(cell.name, cell.label)], Console(file=file, width=200))
    telling.start()
    (cell.folder / METRICS_FILE).unlink()
    write_cell(cell)
    telling.stop()
    assert file.getvalue().count("done ") == 1


def test_what_the_stores_of_two_nodes_hold_is_not_made_again_once_they_are_merged(tmp_path: Path) -> None:
    (tmp_path / "go").touch()

    def asked(store: str, *seeds: int) -> int:
        """How many replies are asked for, where a sweep over these seeds has that store."""
        (tmp_path / "asked").unlink(missing_ok=True)
        jobs = []
        for seed in seeds:
            words = ["judge=proxy", "tracker=none", "task=starter_open", "task.limit=2", f"seed={seed}"]
            words += [f"outputs={tmp_path}", f"store={tmp_path / store}", f"sweep=of-{store}", "resamples=200"]
            backend = {"_target_": "held.HeldBackend", "folder": str(tmp_path)}
            own = {"backend": backend, "judge": {"_target_": "scripted.Reader"}}
            jobs.append({**composed([*words, "query_set.queries=[be funny]"], config_folder()), **own})
        swept = run_sweep(jobs, Console(quiet=True))
        assert swept is not None and {cell.status for cell in swept.cells} == {"finished"}
        return len((tmp_path / "asked").read_text().split()) if (tmp_path / "asked").exists() else 0

    assert asked("node0", 0) == asked("node1", 1) == 2
    assert care_of_stores(["merge", *(str(tmp_path / name) for name in ("together", "node0", "node1"))]) == 0
    assert asked("together", 0, 1) == 0
