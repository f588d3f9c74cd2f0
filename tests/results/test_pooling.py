"""Several seeds of one cell are replicates of it: one row, counted, paired seed by seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweeps import ASK, Kind, compared, make_cell

from mindgap.results.files import write_cell
from mindgap.results.judgements import read_judgements
from mindgap.results.sweep import read_sweep

SMALL: dict[str, Any] = {"queries": ("be funny", "be concise", "be formal"), "items": 4}
CONTROL, PROMPT = Kind("control", "Control"), Kind("prompt", "Prompting", instruction=ASK, behaviour=1.3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "study"


def put(folder: Path, kind: Kind, seed: int, **settings: Any) -> None:
    name = f"tiny-{kind.method}-seed{seed}-{len(list(folder.glob('*')))}"
    config = {**kind.config, "seed": seed, **settings}
    write_cell(replace(make_cell(folder, kind, **SMALL, seed=seed), name=name, folder=folder / name, config=config))


def test_seeds_are_one_cell_with_twice_the_samples(folder: Path) -> None:
    for kind in (CONTROL, PROMPT):
        for seed in (0, 1):
            put(folder, kind, seed, task={"name": "mmlu", "seed": seed})
    sweep = read_sweep(folder)
    (group,) = sweep.groups
    assert [group.name(cell) for cell in group.cells] == ["Control", "Prompting"]
    assert group.design == "3 queries × 4 items × 2 seeds"
    assert [len(cell.records) for cell in group.cells] == [24, 24]
    assert group.cells[0].counts["samples"] == 24
    assert group.cells[0].metrics["behaviour"].n + group.cells[0].metrics["behaviour"].missing == 24
    assert [sweep.family(cell) for cell in group.cells] == ["Control, 2 seeds", "Prompting, 2 seeds"]
    assert len(sweep.cells) == 4 and all(len(cell.records) == 12 for cell in sweep.cells)
    assert {sweep.family(cell) for cell in sweep.cells} == {
        f"{label}, seed {seed}" for label in ("Control", "Prompting") for seed in (0, 1)
    }
    judged = read_judgements(sweep)
    assert {name: len(of["proxy"]) for name, of in judged.items()} == {
        cell.name: len({record.key for record in cell.records}) for cell in group.cells
    }


def test_cells_are_paired_seed_by_seed(folder: Path) -> None:
    """With a seed that only one of them has: what the other lacks is left out, and nothing else."""
    for kind, seeds in ((CONTROL, (0, 2)), (PROMPT, (1, 2))):
        for seed in seeds:
            put(folder, kind, seed)
    (group,) = compared(folder).groups
    (difference,) = (cell.differences["accuracy"].difference for cell in group.others)
    assert difference.estimate.n == 12  # seed 2 alone
    of_seed_2 = [{r.item: r for r in cell.cell.records if r.epoch == 2} for cell in group.cells]
    assert all(len(records) == 4 for records in of_seed_2)


def test_seeds_that_nothing_can_be_paired_over_stay_apart(folder: Path) -> None:
    put(folder, CONTROL, 0)
    put(folder, PROMPT, 1)
    groups = read_sweep(folder).groups
    assert len(groups) == 2 and {group.title.rpartition(" · ")[2] for group in groups} == {"seed=0", "seed=1"}


def test_the_run_with_more_epochs_stands_for_the_one_with_fewer(folder: Path) -> None:
    for epochs in (1, 2):
        put(folder, CONTROL, 0, epochs=epochs)
    sweep = read_sweep(folder)
    (cell,) = sweep.pooled
    assert len(cell.records) == 12 and cell.config["epochs"] == 2
    assert len(sweep.cells) == 2


def test_two_doses_are_one_line_and_two_depths_are_not(folder: Path) -> None:
    """What is joined as one method at two doses differs in nothing but its dose."""
    put(folder, CONTROL, 0)
    for dose in (0.1, 0.2):
        for depth in (0.3, 0.5):
            kind = Kind("vector", "Vector", f"dose{dose:g}", dose, behaviour=dose)
            steering = [{"_target_": "mindgap.steering.vectors.DifferenceInMeans", "depth": depth}]
            put(folder, kind, 0, method={**kind.config["method"], "interventions": steering})
    (group,) = compared(folder).groups
    assert [cell.name for cell in group.others] == [
        f"Vector, depth {depth} (dose {dose})" for dose in (0.1, 0.2) for depth in (0.3, 0.5)
    ]
    assert {family for family, _ in group.dose_responses} == {"Vector, depth 0.3", "Vector, depth 0.5"}
