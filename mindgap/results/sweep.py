"""Reads a sweep's folder, once, into the cells that every analysis and report shares, grouped by what is comparable."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mindgap.core.columns import facts
from mindgap.core.errors import ConfigError, MindgapError
from mindgap.core.keys import content_key
from mindgap.core.measurement import Declaration
from mindgap.core.wording import plural
from mindgap.results.cell import BESIDE_CELLS, CellResult
from mindgap.results.files import METRICS_FILE, read_cell
from mindgap.results.naming import flat, in_words, unseeded, variant, varying
from mindgap.results.planned import read_planned
from mindgap.results.pooling import REPLICATED, pooled, seeds_of
from mindgap.results.question import Question, question_in

MAY_DIFFER = frozenset(
    {*BESIDE_CELLS, *REPLICATED, "method", "strength", "resamples", "population", "recording", "reference"}
)
"""Settings in which compared cells may differ: what is compared, what is pooled, and what changes no sample."""

ADAPTER = "model.adapter"
"""An adapter is compared with what is done to its base, so cells may differ in it, too."""

REFERENCES = ("control", "unsteered", "baseline", "none", "original")
"""Names of methods that others are compared with, the first that is there."""


class NoSweepError(MindgapError):
    """The folder holds no sweep that could be reported."""


@dataclass(frozen=True)
class Group:
    """Cells that may be compared: equal in every setting but method, strength and adapter, scored by one judge.

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
        """What people call `cell` here: family and strength, and its folder where that is not enough.

        Where all that steers has its native strength, a name that tells other settings does not tell it.
        """
        plain = self._plain_name(cell)
        ambiguous = sum(self._plain_name(member) == plain for member in self.cells) > 1
        return f"{plain} [{cell.name}]" if ambiguous else plain

    def family(self, cell: CellResult) -> str:
        """What `cell` is apart from its strength: its label, and those settings of it that differ in the group."""
        return _joined(cell.label, variant(_told(cell), self._varying))

    def called(self, name: str) -> CellResult | None:
        """The finished cell that goes by `name`: its folder before its other names; None where none does.

        Raises:
            ConfigError: Several do.
        """
        by_folder = [cell for cell in self.finished if name in {cell.name, *(run.name for run in cell.runs)}]
        by_name = [
            cell
            for cell in self.finished
            if name == self.name(cell) or (name in (cell.method, cell.label) and _adapter(cell) is None)
        ]
        cells = by_folder or by_name
        if len(cells) > 1:
            names = ", ".join(self.name(cell) for cell in cells)
            raise ConfigError(f"reference={name!r} is said of several cells; name one of {names}")
        return cells[0] if cells else None

    def against(self, reference: CellResult) -> Group:
        """The group with another of its cells as the reference."""
        return replace(self, cells=(reference, *(cell for cell in self.cells if cell is not reference)))

    @property
    def design(self) -> str:
        """What every cell was asked: `14 queries × 40 items × 2 seeds`."""
        queries, items, epochs_seen = (set(facts(self.reference.records, name)) for name in ("query", "item", "epoch"))
        seeds = max(len(seeds_of(cell)) for cell in self.cells)
        epochs = max(epochs_seen, default=0) + 1
        parts = [plural(len(queries), "query", "queries"), plural(len(items), "item")]
        parts += [plural(seeds, "seed")] if seeds > 1 else []
        parts += [plural(round(epochs / seeds), "epoch")] if epochs > seeds else []
        return " × ".join(parts)

    @cached_property
    def _varying(self) -> tuple[str, ...]:
        return varying([_told(cell) for cell in self.cells])

    @cached_property
    def _all_native(self) -> bool:
        return {cell.strength for cell in self.cells} <= {"none", "native"}

    def _plain_name(self, cell: CellResult) -> str:
        family = self.family(cell)
        told = cell.strength != "none" and not (self._all_native and family != cell.label)
        return f"{family} ({strength_name(cell)})" if told else family


@dataclass(frozen=True)
class SweepResults:
    """All finished and failed cells of a sweep's folder.

    Attributes:
        folder: The sweep's folder, resolved.
        groups: The cells by what may be compared, replicates pooled, largest group first.
        unfinished: Names of cells' folders that have no result yet.
        question: What is asked of it.
        notes: What a reader should know of how it was read.
    """

    folder: Path
    groups: tuple[Group, ...]
    unfinished: tuple[str, ...] = ()
    question: Question = field(default_factory=Question)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """Every cell as its files are, group by group."""
        return tuple(run for cell in self.pooled for run in cell.runs)

    @property
    def pooled(self) -> tuple[CellResult, ...]:
        """Every cell, replicates pooled, group by group."""
        return tuple(cell for group in self.groups for cell in group.cells)

    def family(self, cell: CellResult) -> str:
        """What `cell` is apart from model and strength: its label, and its settings that differ in the sweep."""
        replicated = REPLICATED if len(cell.runs) > 1 else ()
        name = _joined(cell.label, variant(cell.config, [key for key in self._varying if key not in replicated]))
        seeds = len(seeds_of(cell))
        return f"{name}, {seeds} seeds" if seeds > 1 else name

    def asking(self, question: Question) -> SweepResults:
        """The sweep with another question, each group with the reference that it names.

        Raises:
            ConfigError: The question cannot be asked of what was measured, or no finished cell goes by its reference.
        """
        question.check({measure.name: measure for cell in self.cells for measure in cell.measures}.values())
        if question.reference is None:
            return replace(self, question=question)
        named = [group.called(question.reference) for group in self.groups]
        if not any(named):
            cells = (group.name(cell) for group in self.groups for cell in group.finished)
            raise ConfigError(
                f"reference={question.reference!r}: no finished cell goes by that; "
                f"there are {', '.join(dict.fromkeys(cells))}"
            )
        groups = tuple(
            group if cell is None else group.against(cell) for group, cell in zip(self.groups, named, strict=True)
        )
        return replace(self, groups=groups, question=question)

    @cached_property
    def _varying(self) -> tuple[str, ...]:
        return varying([cell.config for cell in self.cells])

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
    cells = [read_cell(path, samples="when asked") for path in inside if (path / METRICS_FILE).is_file()]
    if not cells:
        raise NoSweepError(f"{folder} holds no finished cell. {_sweeps_in(folder)}".rstrip())
    waiting = tuple(
        path.name for path in inside if (path / "run.log").is_file() and not (path / METRICS_FILE).is_file()
    )
    sweep = SweepResults(folder.resolve(), grouped(cells), waiting)
    planned = read_planned(folder)
    question = question_in((planned[0] if planned else sweep.cells[0]).config)
    try:
        return sweep.asking(question)
    except ConfigError as mistake:  # a cell may have failed that the question names: the rest can be read all the same
        usual = replace(question, metric=None, reference=None)
        return replace(sweep, question=usual, notes=(f"{mistake} The usual question is answered instead.",))


def grouped(cells: Sequence[CellResult]) -> tuple[Group, ...]:
    """`cells` by what may be compared, replicates pooled, largest group first, each with its reference in front."""
    by_settings: dict[str, list[CellResult]] = {}
    for cell in cells:
        by_settings.setdefault(_settings_key(cell), []).append(cell)
    configs = [_compared(members[0].config) for members in by_settings.values()]
    apart = [key for key in varying(configs) if key.partition(".")[0] not in ("model", "judge", *MAY_DIFFER)]
    groups = []
    for members, config in zip(by_settings.values(), configs, strict=True):
        settings = flat(config, into_lists=True)
        parts = [f"model {members[0].model}", f"judge {members[0].judge}"]
        parts += [f"{key}={settings.get(key, 'unset')}" for key in apart]
        of_seeds = _by_seeds(_ordered(pooled(members)))
        for own in of_seeds:
            seeds = ", ".join(map(str, dict.fromkeys(seed for cell in own for seed in seeds_of(cell))))
            title = " · ".join([*parts, f"seed={seeds}"] if len(of_seeds) > 1 else parts)
            groups.append(Group(title, _ordered(own)))
    return tuple(sorted(groups, key=lambda group: (-len(group.cells), group.title)))


def _adapter(cell: CellResult) -> str | None:
    """The adapter that was loaded onto the cell's model."""
    model = cell.config.get("model")
    return model.get("adapter") if isinstance(model, Mapping) else None


def _told(cell: CellResult) -> dict[str, Any]:
    """The settings in which cells of a group differ, apart from their strength."""
    return {"method": cell.config.get("method") or {}, "model": {"adapter": _adapter(cell)}}


def _by_seeds(cells: Sequence[CellResult]) -> list[list[CellResult]]:
    """Parts of `cells` that can be paired: each shares a seed with the first of its part."""
    parts: list[list[CellResult]] = []
    for cell in cells:
        for part in parts:
            if set(seeds_of(cell)) & set(seeds_of(part[0])):
                part.append(cell)
                break
        else:
            parts.append([cell])
    return parts


def _ordered(cells: Iterable[CellResult]) -> tuple[CellResult, ...]:
    """The reference first, then what steers nothing, then by label and strength. The same whatever ran first."""

    def place(cell: CellResult) -> tuple[Any, ...]:
        finished = cell.status == "finished"
        dose = cell.dose if cell.dose is not None else 0.0
        steered = cell.strength != "none" and not (cell.imported and cell.dose == 0)
        return (_rank(cell) if finished else len(REFERENCES), not finished, steered, cell.label, dose, cell.name)

    return tuple(sorted(cells, key=place))


def _rank(cell: CellResult) -> int:
    """How much a cell is a reference by its name, or because its import says so: smaller is more."""
    if _adapter(cell) is not None:
        return len(REFERENCES)
    if cell.config.get("reference") == cell.method:
        return -1
    return REFERENCES.index(cell.method) if cell.method in REFERENCES else len(REFERENCES)


def _settings_key(cell: CellResult) -> str:
    return content_key("group", model=cell.model, judge=cell.judge, settings=_counted(cell.config))


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a configuration in which cells that are compared may not differ, and the seed."""
    return {key: value for key, value in config.items() if key == "seed" or key not in MAY_DIFFER}


def _counted(config: Mapping[str, Any]) -> dict[str, str]:
    """Settings by dotted key in which cells that are compared may not differ."""
    settings = unseeded(flat(_compared(config)))
    return {key: value for key, value in settings.items() if key not in ("seed", ADAPTER)}


def settings_apart(cell: CellResult, other: CellResult) -> dict[str, tuple[str, str]]:
    """What keeps two cells from being compared: settings by dotted key with both values, model, judge and seed too."""
    named = [{"model": one.model, "judge": one.judge, **_counted(one.config)} for one in (cell, other)]
    apart = {
        key: (named[0].get(key, "unset"), named[1].get(key, "unset"))
        for key in dict.fromkeys([*named[0], *named[1]])
        if named[0].get(key) != named[1].get(key)
    }
    if not apart and not set(seeds_of(cell)) & set(seeds_of(other)):
        apart["seed"] = (", ".join(map(str, seeds_of(cell))), ", ".join(map(str, seeds_of(other))))
    return {key: values for key, values in apart.items() if "." not in key or key.partition(".")[0] not in apart}


def by_task(groups: Sequence[Group]) -> list[tuple[Group, ...]]:
    """Groups that differ in their task alone, together; those that have no such other are left out."""
    together: dict[str, list[Group]] = {}
    for group in groups:
        cell = group.reference
        config = {key: value for key, value in cell.config.items() if key != "task"}
        decoding = config.get("decoding") or {}
        if "max_tokens" in decoding and decoding["max_tokens"] == task_of(cell).get("max_tokens"):
            config["decoding"] = {k: v for k, v in decoding.items() if k != "max_tokens"}  # follows the task
        key = content_key("tasks", model=cell.model, judge=cell.judge, settings=_counted(config))
        together.setdefault(key, []).append(group)
    return [tuple(members) for members in together.values() if len(members) > 1]


def task_of(cell: CellResult) -> Mapping[str, Any]:
    """The settings of the cell's task; none where the cell was imported without them."""
    task = cell.config.get("task")
    return task if isinstance(task, Mapping) else {}


def _joined(label: str, settings: Mapping[str, str]) -> str:
    return f"{label}, {in_words(settings)}" if settings else label


def strength_name(cell: CellResult) -> str:
    """The strength's label for people: `dose 0.3` for `dose0.3`, `×2` for `x2`; likewise damage, others as they are."""
    return re.sub(r"^x(?=[-\d])", "×", re.sub(r"^(dose|damage)(?=[-\d])", r"\1 ", cell.strength))


def _sweeps_in(folder: Path) -> str:
    sweeps = sorted({path.parents[1] for path in folder.glob(f"*/*/{METRICS_FILE}")})
    if not sweeps:
        return ""
    return "Sweeps: " + ", ".join(str(path) for path in sweeps[:8]) + (" …" if len(sweeps) > 8 else "")
