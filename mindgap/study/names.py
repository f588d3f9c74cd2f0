"""Which folder and which title each cell of a sweep has: what differs between the cells is in both.

Names depend on the whole sweep, and its jobs may run in other processes or on other machines. So whoever begins the
sweep writes them down in its folder, by the hash of the cell's settings; a job that finds none there names its cell by
itself. A cell that is there already keeps its folder, whatever the sweep of today would call it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mindgap.core.keys import content_key
from mindgap.results.cell import BESIDE_CELLS
from mindgap.results.naming import fitting, for_folder, in_words, variant, varying
from mindgap.storage.atomic import replacing
from mindgap.study.experiment import Experiment

NAMES = ".names.json"
"""File in a sweep's folder while it runs."""


@dataclass(frozen=True)
class CellName:
    """What a cell is called.

    Attributes:
        folder: Readable and unique: model, method, strength, what differs in the sweep, and a hash of every setting
            that can change the result.
        title: For people: label, what differs, strength.
        number: 1, 2 … in the sweep.
        of: How many cells the sweep has.
    """

    folder: str
    title: str
    number: int = 1
    of: int = 1


def cell_name(experiment: Experiment, config: Mapping[str, Any], told: Sequence[str] = ()) -> CellName:
    """The name of a cell.

    Jobs that differ only where it has no effect (a strength on a method that does not steer) get the same name.

    Args:
        experiment: The cell.
        config: What it was built from.
        told: Settings that the name is to tell, as dotted keys; those that the cell has not are left out.
    """
    steers = experiment.method.steers
    differing = variant(config, told)
    parts = [experiment.model.name, experiment.method.name]
    title = experiment.method.label
    if differing:
        title = f"{title}, {in_words(differing)}"
    if steers:
        parts.append(experiment.strength.label)
        title = f"{title} ({experiment.strength.label})"
    if short := for_folder(differing):
        parts.append(short)
    return CellName(f"{fitting('-'.join(parts))}-{_hash(experiment, config)}", title)


def name_cells(
    experiments: Sequence[Experiment], configs: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, tuple[CellName, Experiment, Mapping[str, Any]]]:
    """The distinct cells of a sweep and their settings by their folders' names, numbered in the order they run in.

    Args:
        experiments: One a job.
        configs: What they were built from.
        folder: The sweep's; cells that are there already keep their names.
    """
    told = varying(configs)
    judges = {experiment.judge.name for experiment in experiments}
    by_hash: dict[str, tuple[CellName, Experiment, Mapping[str, Any]]] = {}
    for experiment, config in zip(experiments, configs, strict=True):
        name = cell_name(experiment, config, told)
        if len(judges) > 1:
            name = replace(name, title=f"{name.title}, judge {experiment.judge.name}")
        by_hash.setdefault(_hash(experiment, config), (_as_it_is_there(name, folder), experiment, config))
    return {
        name.folder: (replace(name, number=number, of=len(by_hash)), experiment, config)
        for number, (name, experiment, config) in enumerate(by_hash.values(), 1)
    }


def write_names(names: Sequence[CellName], folder: Path) -> None:
    """Write the names down for the jobs of the sweep in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / NAMES) as path:
        text = json.dumps({_key(name.folder): asdict(name) for name in names}, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")


def name_here(experiment: Experiment, config: Mapping[str, Any], folder: Path) -> CellName:
    """The name that the sweep in `folder` gives the cell; that of its folder, or its own, where it gives none."""
    own = _written(folder).get(_hash(experiment, config))
    return own or _as_it_is_there(cell_name(experiment, config), folder)


def names_here(folder: Path) -> list[CellName]:
    """The names that the sweep in `folder` gives its cells, in their order; none while no sweep runs."""
    return sorted(_written(folder).values(), key=lambda name: name.number)


def began_at(folder: Path) -> float | None:
    """When the sweep in `folder` began, in seconds since 1970; None where nothing says so."""
    path = folder / NAMES
    return path.stat().st_mtime if path.is_file() else None


def forget_names(folder: Path) -> None:
    """Remove what `write_names` wrote, or what a sweep that was killed has left."""
    (folder / NAMES).unlink(missing_ok=True)


def _written(folder: Path) -> dict[str, CellName]:
    """What `write_names` wrote, by the hash of the cell's settings."""
    path = folder / NAMES
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {key: CellName(**name) for key, name in known.items()}


def _as_it_is_there(name: CellName, folder: Path) -> CellName:
    """The name with the folder that the cell has already, whatever the sweep of that day called it."""
    here = sorted(path.name for path in folder.glob(f"*-{_key(name.folder)}") if path.is_dir())
    return replace(name, folder=here[0]) if here else name


def _hash(experiment: Experiment, config: Mapping[str, Any]) -> str:
    steers = experiment.method.steers
    counted = {key: value for key, value in config.items() if key not in BESIDE_CELLS and (steers or key != "strength")}
    return content_key("cell", config=counted)[:6]


def _key(folder: str) -> str:
    return folder.rpartition("-")[2]
