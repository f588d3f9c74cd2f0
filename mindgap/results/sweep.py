"""Reads a sweep's folder, once, into the cells that every analysis and report shares, grouped by what is comparable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindgap.core.errors import MindgapError
from mindgap.core.keys import content_key
from mindgap.core.measurement import Declaration
from mindgap.results.cell import BESIDE_CELLS, CellResult
from mindgap.results.files import METRICS_FILE, read_cell

MAY_DIFFER = frozenset({*BESIDE_CELLS, "method", "strength", "resamples"})
"""Settings in which compared cells may differ: what is compared, and what changes no sample."""


class NoSweepError(MindgapError):
    """The folder holds no sweep that could be reported."""


@dataclass(frozen=True)
class Group:
    """Cells that may be compared: equal in every setting but method and strength, scored by one judge.

    Attributes:
        title: For people; says what sets the group apart from the sweep's other groups.
        cells: The reference first.
    """

    title: str
    cells: tuple[CellResult, ...]

    @property
    def reference(self) -> CellResult:
        """The cell that the others are compared with."""
        return self.cells[0]

    @property
    def finished(self) -> tuple[CellResult, ...]:
        """Cells that have samples to compare."""
        return tuple(cell for cell in self.cells if cell.status == "finished" and cell.records)

    @property
    def judge(self) -> str:
        """Name of the judge that the cells were run with."""
        return self.reference.judge

    @property
    def measures(self) -> tuple[Declaration, ...]:
        """What was measured on any cell, in display order."""
        return tuple({measure.name: measure for cell in self.cells for measure in cell.measures}.values())

    def name(self, cell: CellResult) -> str:
        """What people call `cell` here: label and strength, and its folder where that is not enough."""
        plain = _plain_name(cell)
        ambiguous = sum(_plain_name(member) == plain for member in self.cells) > 1
        return f"{plain} [{cell.name}]" if ambiguous else plain


@dataclass(frozen=True)
class SweepResults:
    """All finished and failed cells of a sweep's folder.

    Attributes:
        folder: The sweep's folder, resolved.
        groups: The cells by what may be compared, largest group first.
        unfinished: Names of cells' folders that have no result yet.
    """

    folder: Path
    groups: tuple[Group, ...]
    unfinished: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """Every cell, group by group."""
        return tuple(cell for group in self.groups for cell in group.cells)

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of the judges that cells were run with."""
        return tuple(dict.fromkeys(cell.judge for cell in self.cells))


def read_sweep(folder: Path) -> SweepResults:
    """Read the sweep in `folder`.

    Raises:
        NoSweepError: The folder holds none; the message says what it is instead.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NoSweepError(f"{folder}: there is no such folder. {_sweeps_in(folder.parent)}".rstrip())
    if (folder / METRICS_FILE).is_file():
        raise NoSweepError(f"{folder} is one cell. Its sweep is {folder.resolve().parent}")
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    cells = [read_cell(path) for path in inside if (path / METRICS_FILE).is_file()]
    if not cells:
        raise NoSweepError(f"{folder} holds no finished cell. {_sweeps_in(folder)}".rstrip())
    waiting = tuple(
        path.name for path in inside if (path / "run.log").is_file() and not (path / METRICS_FILE).is_file()
    )
    return SweepResults(folder.resolve(), grouped(cells), waiting)


def grouped(cells: Sequence[CellResult]) -> tuple[Group, ...]:
    """`cells` by what may be compared, largest group first, each with its reference in front."""
    by_settings: dict[str, list[CellResult]] = {}
    for cell in cells:
        by_settings.setdefault(_settings_key(cell), []).append(cell)
    apart = _differing([_flat(_counted(members[0].config)) for members in by_settings.values()])
    groups = []
    for members in by_settings.values():
        settings = _flat(_counted(members[0].config))
        parts = [f"model {members[0].model}", f"judge {members[0].judge}"]
        parts += [f"{key}={settings.get(key, 'unset')}" for key in apart]
        groups.append(Group(" · ".join(parts), _ordered(members)))
    return tuple(sorted(groups, key=lambda group: (-len(group.cells), group.title)))


def _ordered(cells: Iterable[CellResult]) -> tuple[CellResult, ...]:
    """The reference first, then what steers nothing, then by label and strength. The same whatever ran first."""

    def place(cell: CellResult) -> tuple[Any, ...]:
        is_control = cell.method == "control" and cell.status == "finished"
        dose = cell.dose if cell.dose is not None else 0.0
        return (not is_control, cell.status != "finished", cell.strength != "none", cell.label, dose, cell.name)

    return tuple(sorted(cells, key=place))


def _settings_key(cell: CellResult) -> str:
    return content_key("group", model=cell.model, judge=cell.judge, settings=_flat(_counted(cell.config)))


def _counted(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in MAY_DIFFER}


def _flat(node: Any, path: str = "") -> dict[str, str]:
    """`{"task.limit": "8"}` from `{"task": {"limit": 8}}`; a list is one value."""
    if isinstance(node, Mapping):
        inside = [_flat(value, f"{path}.{key}" if path else str(key)) for key, value in node.items()]
        return {key: value for settings in inside for key, value in settings.items()}
    return {path: node if isinstance(node, str) else json.dumps(node, ensure_ascii=False, default=str)}


def _differing(groups: Sequence[Mapping[str, str]]) -> list[str]:
    """Settings whose values are not the same in all groups; model and judge are named anyway."""
    keys = dict.fromkeys(key for settings in groups for key in settings if key.split(".")[0] not in ("model", "judge"))
    return [key for key in keys if len({settings.get(key) for settings in groups}) > 1]


def _plain_name(cell: CellResult) -> str:
    return cell.label if cell.strength == "none" else f"{cell.label} ({strength_name(cell)})"


def strength_name(cell: CellResult) -> str:
    """The strength's label for people: `dose 0.3` for `dose0.3`, `×2` for `x2`, others as they are."""
    return re.sub(r"^x(?=[-\d])", "×", re.sub(r"^dose(?=[-\d])", "dose ", cell.strength))


def _sweeps_in(folder: Path) -> str:
    sweeps = sorted({path.parents[1] for path in folder.glob(f"*/*/{METRICS_FILE}")})
    if not sweeps:
        return ""
    return "Sweeps: " + ", ".join(str(path) for path in sweeps[:8]) + (" …" if len(sweeps) > 8 else "")
