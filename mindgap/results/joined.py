"""Puts cells of several sweeps together, made on different days perhaps, and says which of them may be compared."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mindgap.core.columns import facts
from mindgap.core.errors import ConfigError
from mindgap.results.cards import Place, places_of
from mindgap.results.cell import CellResult
from mindgap.results.sweep import Group, SweepResults, grouped, settings_apart

SOURCE = "answered by"
"""Stands among the settings of cells whose models have one name and are not the same."""
FEW = 4
"""Settings that are named where more differ."""


def joined(sweeps: Sequence[SweepResults], folder: Path) -> SweepResults:
    """The cells of all `sweeps`, grouped by what may be compared; the first sweep's question is asked.

    A cell that several sweeps have, with the same replies and scores, is there once. One that has the same settings and
    other replies is told apart by its sweep's name.

    Args:
        sweeps: Two or more; the first one's cells come first.
        folder: Where reports of them all go.

    Raises:
        ConfigError: Two of them are one and the same folder.
    """
    folders = [sweep.folder for sweep in sweeps]
    if len(set(folders)) < len(folders):
        raise ConfigError("one and the same sweep was given twice")
    names = _names(sweeps)
    cells: dict[str, CellResult] = {}
    notes: list[str] = []
    for sweep, name in zip(sweeps, names, strict=True):
        known = dict(cells)
        for cell in sweep.cells:
            twin = known.get(cell.name)
            alike = twin is not None and not settings_apart(twin, cell)
            if twin is not None and alike and says(twin) == says(cell):
                first = _sweep_of(twin, sweeps, names)
                notes.append(f"{cell.name} is the same in {first} and {name}, and counted once.")
            elif twin is None:
                cells[cell.name] = cell
            else:
                label = f"{cell.label} ({name})" if alike else cell.label
                cells[f"{cell.name} ({name})"] = replace(cell, name=f"{cell.name} ({name})", label=label)
    groups = grouped(_by_source(list(cells.values())))
    notes += _why_apart(groups, sweeps, names)
    unfinished = tuple(f"{name}/{cell}" for sweep, name in zip(sweeps, names, strict=True) for cell in sweep.unfinished)
    together = SweepResults(folder.resolve(), groups, unfinished, notes=tuple(notes))
    try:
        return together.asking(sweeps[0].question)
    except ConfigError as mistake:
        return replace(together, notes=(*notes, str(mistake)))


def _names(sweeps: Sequence[SweepResults]) -> list[str]:
    """Names of folders, with their parents' where two are the same."""
    plain = [sweep.name for sweep in sweeps]
    return [
        name if plain.count(name) == 1 else f"{sweep.folder.parent.name}/{name}"
        for sweep, name in zip(sweeps, plain, strict=True)
    ]


def _sweep_of(cell: CellResult, sweeps: Sequence[SweepResults], names: Sequence[str]) -> str:
    return next(
        (name for sweep, name in zip(sweeps, names, strict=True) if sweep.folder in cell.folder.resolve().parents),
        cell.sweep,
    )


def says(cell: CellResult) -> dict[Place, tuple[Any, ...]]:
    """What was generated and scored, by query, item and epoch: cells that agree in all of it are one and the same."""
    names = ("response", "option_logprobs", "behaviour", "coherence")
    said = zip(*(facts(cell.records, name) for name in names), strict=True)
    return dict(zip(places_of(cell.records), said, strict=True))


def _by_source(cells: Sequence[CellResult]) -> list[CellResult]:
    """The cells, with who answered among their settings where one name of a model stands for two."""
    sources: dict[str, set[str]] = {}
    for cell in cells:
        if cell.source is not None:
            sources.setdefault(cell.model, set()).add(cell.source)
    return [
        replace(cell, config={**cell.config, SOURCE: cell.source or "unknown"})
        if len(sources.get(cell.model, ())) > 1
        else cell
        for cell in cells
    ]


def _why_apart(groups: Sequence[Group], sweeps: Sequence[SweepResults], names: Sequence[str]) -> list[str]:
    """For every two sweeps that share no group, the settings that keep them apart."""
    said = []
    for (one, name), (other, other_name) in itertools.combinations(zip(sweeps, names, strict=True), 2):
        homes = [
            {
                number
                for number, group in enumerate(groups)
                if any(sweep.folder in run.folder.resolve().parents for cell in group.cells for run in cell.runs)
            }
            for sweep in (one, other)
        ]
        if not homes[0] & homes[1] and homes[0] and homes[1]:
            first, second = (groups[min(home)].cells[0] for home in homes)
            apart = settings_apart(first, second)
            told = [f"{key} is {here} in {name} and {there} in {other_name}" for key, (here, there) in apart.items()]
            more = f", and {len(told) - FEW} more settings differ" if len(told) > FEW else ""
            said.append(f"{name} and {other_name} are not compared: {'; '.join(told[:FEW])}{more}.")
    return said
