"""Claims: equal jobs make one cell, a killed sweep holds nobody up, and a running one is not run twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mindgap.core.errors import ConfigError
from mindgap.study.claims import CLAIM, claim, refuse_running, release


def claimed_elsewhere(cell: Path) -> subprocess.Popen[str]:
    """A process that holds a claim on the cell, and waits for a line."""
    program = (
        "import pathlib, sys; from mindgap.study.claims import claim\n"
        "print(claim(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(cell)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "True\n"
    return process


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    (folder := tmp_path / "study" / "cell").mkdir(parents=True)
    return folder


def test_a_cell_is_claimed_once(cell: Path) -> None:
    assert claim(cell)
    assert not claim(cell)


def test_a_sweep_that_is_running_is_not_begun_again_and_keeps_its_claims(cell: Path) -> None:
    process = claimed_elsewhere(cell)
    try:
        with pytest.raises(ConfigError, match=rf"sweep=study is being run already, by process {process.pid}"):
            refuse_running(cell.parent)
        assert not claim(cell)
    finally:
        process.communicate("\n")


def test_what_a_killed_sweep_left_is_cleared(cell: Path) -> None:
    process = claimed_elsewhere(cell)
    process.kill()
    process.communicate()
    unfinished = cell / ".samples.parquet.123.tmp"
    unfinished.touch()
    refuse_running(cell.parent)
    assert claim(cell)
    assert not unfinished.exists()


def test_the_number_of_a_dead_process_that_came_again_is_not_taken_for_it(cell: Path) -> None:
    process = claimed_elsewhere(cell)
    try:
        owner = json.loads((cell / CLAIM).read_text())
        (cell / CLAIM).write_text(json.dumps({**owner, "created": owner["created"] - 1000}))
        refuse_running(cell.parent)
        assert claim(cell)
    finally:
        process.communicate("\n")


def test_a_claim_of_another_machine_stays_and_the_message_says_how_to_go_on(cell: Path) -> None:
    (cell / CLAIM).write_text(json.dumps({"host": "elsewhere", "pid": 1, "created": 0.0}))
    with pytest.raises(ConfigError, match=r"on elsewhere.*delete .*running"):
        refuse_running(cell.parent)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "nonsense"])
def test_a_claim_that_names_nobody_is_cleared(cell: Path, text: str) -> None:
    (cell / CLAIM).write_text(text)
    refuse_running(cell.parent)
    assert claim(cell)


def test_a_sweep_that_has_ended_leaves_no_claim(cell: Path) -> None:
    assert claim(cell)
    release(cell.parent)
    assert not (cell / CLAIM).exists()
