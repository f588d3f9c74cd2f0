"""Samples of many cells, aligned by what was asked: the table that every analysis of a sweep starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.bootstrap import UNBOUNDED, Bounds, table_mean
from mindgap.stats.crossed import CrossedTable, Factor, codes, said_of, taken_as_it_is

JUDGED = ("behaviour", "coherence")
"""Metrics that two judges may see differently."""

KEYS = ("model", "method", "strength", "query", "item", "epoch", "judge", "dose")


@dataclass(frozen=True, order=True)
class CellId:
    """What the samples of one cell have in common.

    Attributes:
        model: Short name.
        method: Short name.
        strength: Its label.
    """

    model: str = ""
    method: str = ""
    strength: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.model, self.method, self.strength) if part)


@dataclass(frozen=True)
class Scale:
    """What values a metric can have.

    Attributes:
        bounds: Lowest and highest value there can be.
        binary: Whether they are 0 or 1.
    """

    bounds: Bounds = UNBOUNDED
    binary: bool = False


@dataclass(frozen=True)
class Measured:
    """One metric of all cells.

    Attributes:
        values: `[cells, samples]`, NaN = missing.
        applies: Whether a sample should have a value, same shape.
        scale: What values there can be.
    """

    values: np.ndarray
    applies: np.ndarray
    scale: Scale = Scale()


@dataclass(frozen=True)
class Samples:
    """All samples of a sweep. Column s of every array is the same query, item and epoch in every cell.

    Attributes:
        cells: In the order they first occur.
        queries: All there are.
        items: All there are.
        query: Codes into `queries`, `[samples]`.
        item: Codes into `items`, `[samples]`.
        present: Whether the cell has the sample, `[cells, samples]`.
        metrics: By name.
        judges: Who scored each cell.
        doses: Median relative dose of each cell, NaN where it has none.
        population: Whether results are for other queries and items of the kind even where these are too few for that.
    """

    cells: tuple[CellId, ...]
    queries: tuple[Hashable, ...]
    items: tuple[Hashable, ...]
    query: np.ndarray
    item: np.ndarray
    present: np.ndarray
    metrics: Mapping[str, Measured]
    judges: tuple[frozenset[str], ...]
    doses: np.ndarray
    population: bool = False

    @cached_property
    def given(self) -> Factor | None:
        """The factor whose levels all results are for, since it has too few (`crossed.taken_as_it_is`)."""
        return None if self.population else taken_as_it_is(len(np.unique(self.query)), len(np.unique(self.item)))

    @property
    def said_of(self) -> str:
        """What every estimate notes where a factor is given; empty where none is."""
        if self.given is None:
            return ""
        return said_of(self.given, len(np.unique(self.query if self.given == "queries" else self.item)))

    def row(self, cell: CellId) -> int:
        """Place of a cell among `cells`.

        Raises:
            MindgapError: It is not there.
        """
        if cell not in self.cells:
            known = ", ".join(map(str, self.cells))
            raise MindgapError(f"there is no cell {cell} among these samples; there are {known}")
        return self.cells.index(cell)

    def metric(self, name: str) -> Measured:
        """The metric of that name.

        Raises:
            MindgapError: It is not there.
        """
        if name not in self.metrics:
            raise MindgapError(f"there is no metric {name!r} among these samples; there are {', '.join(self.metrics)}")
        return self.metrics[name]

    def only(self, chosen: np.ndarray) -> Samples:
        """A part of the samples, of all cells; codes stay as they are.

        Args:
            chosen: Which, bool `[samples]`.
        """
        metrics = {
            name: Measured(metric.values[:, chosen], metric.applies[:, chosen], metric.scale)
            for name, metric in self.metrics.items()
        }
        return Samples(
            self.cells,
            self.queries,
            self.items,
            self.query[chosen],
            self.item[chosen],
            self.present[:, chosen],
            metrics,
            self.judges,
            self.doses,
            self.population,
        )

    def table(self, values: np.ndarray) -> CrossedTable:
        """Values by query and item; a factor that is given has a single level.

        Args:
            values: `[samples]`; NaNs are left out.
        """
        table = CrossedTable.of(values, self.query, self.item, (len(self.queries), len(self.items)))
        return table.given(self.given)

    def cell_table(self, cell: CellId, metric: str) -> CrossedTable:
        """The metric's values in a cell by query and item."""
        return self.table(self.paired(metric, [cell])[0][0])

    def change_table(self, cell: CellId, reference: CellId, metric: str) -> CrossedTable:
        """The metric's paired differences, `cell` less `reference`, by query and item."""
        values, _ = self.paired(metric, [cell, reference])
        return self.table(values[0] - values[1])

    def paired(self, metric: str, cells: Sequence[CellId]) -> tuple[np.ndarray, np.ndarray]:
        """A metric in several cells.

        Returns:
            Values `[cells, samples]`, and whether all of these cells should have one, bool `[samples]`. NaN where a
            value is missing, and in all cells where one of them should not have it.
        """
        measured, rows = self.metric(metric), [self.row(cell) for cell in cells]
        due = np.asarray(np.all(measured.applies[rows], axis=0))
        return np.where(due, measured.values[rows], np.nan), due

    def mean(self, values: np.ndarray, missing: int = 0, **settings: Any) -> Estimate:
        """Mean of values with its interval.

        Args:
            values: `[samples]`; NaNs are left out.
            missing: How many values lack, for the estimate.
            settings: Of `crossed_mean`.
        """
        present = values[~np.isnan(values)]
        if not len(present):
            return Estimate(None, None, None, 0, missing, "no value: all are missing" if missing else "no samples")
        constant = bool(np.ptp(present) == 0)
        return table_mean(self.table(values), missing=missing, constant=constant, note=self.said_of, **settings)

    def estimate(self, cell: CellId, metric: str, **settings: Any) -> Estimate:
        """A metric's mean in a cell with its interval.

        Args:
            cell: Which cell.
            metric: Its name.
            settings: Of `crossed_mean`.
        """
        row, measured = self.row(cell), self.metric(metric)
        values, applies = measured.values[row], measured.applies[row]
        missing = int((applies & np.isnan(values)).sum())
        return self.mean(values, missing, binary=measured.scale.binary, bounds=measured.scale.bounds, **settings)

    def require_one_judge(self, cells: Sequence[CellId], metrics: Sequence[str]) -> str:
        """The judge of all `cells`.

        Args:
            cells: Those that are compared.
            metrics: Names of what is compared.

        Raises:
            MindgapError: There are several judges, and one of `metrics` is their opinion.
        """
        judges = frozenset[str]().union(*(self.judges[self.row(cell)] for cell in cells))
        opinions = [name for name in metrics if name in JUDGED]
        if len(judges) > 1 and opinions:
            raise MindgapError(
                f"{' and '.join(opinions)} cannot be compared: {len(judges)} judges gave the scores "
                f"({', '.join(sorted(judges))}); judge all cells with one of them, or compare other metrics"
            )
        return ", ".join(sorted(judges))


def from_columns(
    columns: Mapping[str, Any],
    *,
    scales: Mapping[str, Scale] | None = None,
    applies: Mapping[str, np.ndarray] | None = None,
    population: bool = False,
) -> Samples:
    """Samples from columns of equal length.

    Args:
        columns: `query` and `item` must be there; `model`, `method`, `strength`, `epoch`, `judge` and `dose` may be;
            every other numeric column is a metric, NaN = missing.
        scales: Of metrics by name; others are unbounded.
        applies: By metric, whether each sample should have a value, bool `[samples]`; without it all should, and NaN
            counts as missing.
        population: Whether results are for other queries and items even where these are too few for that.

    Raises:
        MindgapError: A sample occurs twice, or columns lack or differ in length.
    """
    size = _checked_length(columns)
    cells, cell = _cells(columns, size)
    query, queries = codes(columns["query"])
    item, items = codes(columns["item"])
    epoch, epochs = codes(columns.get("epoch", [0] * size))
    asked = (query * len(items) + item) * len(epochs) + epoch
    distinct, sample = np.unique(asked, return_inverse=True)
    sample = sample.reshape(-1)
    shape = (len(cells), len(distinct))
    _refuse_duplicates(cell, sample, cells, shape)

    def aligned(column: np.ndarray, absent: Any) -> np.ndarray:
        result = np.full(shape, absent)
        result[cell, sample] = column
        return result

    present = aligned(np.ones(size, dtype=bool), False)
    metrics = {}
    for name, values in columns.items():
        numbers = None if name in KEYS else _numbers(values)
        if numbers is None:
            continue
        due = np.ones(size, dtype=bool) if applies is None or name not in applies else applies[name]
        scale = scales[name] if scales is not None and name in scales else Scale()
        metrics[name] = Measured(aligned(numbers, np.nan), aligned(due, False), scale)
    judges = [set[str]() for _ in cells]
    for number, judge in zip(cell.tolist(), columns.get("judge", [""] * size), strict=True):
        judges[number].add(judge)
    doses = aligned(np.asarray(columns.get("dose", np.full(size, np.nan)), dtype=float), np.nan)
    return Samples(
        tuple(cells),
        tuple(queries),
        tuple(items),
        distinct // len(epochs) // len(items),
        distinct // len(epochs) % len(items),
        present,
        metrics,
        tuple(frozenset(names - {""}) for names in judges),
        np.array([np.nan if np.isnan(row).all() else np.nanmedian(row) for row in doses]),
        population,
    )


def _checked_length(columns: Mapping[str, Any]) -> int:
    lacking = [name for name in ("query", "item") if name not in columns]
    if lacking:
        raise MindgapError(f"samples need a column {' and a column '.join(lacking)}; there are {', '.join(columns)}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise MindgapError(f"columns of samples differ in length: {lengths}")
    if not lengths["query"]:
        raise MindgapError("there are no samples")
    return lengths["query"]


def _cells(columns: Mapping[str, Any], size: int) -> tuple[list[CellId], np.ndarray]:
    """Cells in the order they first occur, and the cell of each row."""
    parts = [columns.get(name, [""] * size) for name in ("model", "method", "strength")]
    number: dict[CellId, int] = {}
    rows = [number.setdefault(CellId(*map(str, row)), len(number)) for row in zip(*parts, strict=True)]
    return list(number), np.array(rows)


def _refuse_duplicates(cell: np.ndarray, sample: np.ndarray, cells: Sequence[CellId], shape: tuple[int, int]) -> None:
    counts = np.bincount(cell * shape[1] + sample, minlength=shape[0] * shape[1]).reshape(shape)
    twice = Counter({cells[row]: int((counts[row] > 1).sum()) for row in range(shape[0]) if (counts[row] > 1).any()})
    if twice:
        where = ", ".join(f"{count} of {name}" for name, count in twice.items())
        raise MindgapError(f"samples occur more than once, by query, item and epoch: {where}")


def _numbers(values: Any) -> np.ndarray | None:
    """A metric's values as floats, or None where the column does not hold numbers. None among them is missing."""
    if not isinstance(values, np.ndarray) or values.dtype == object:
        present = [value for value in values if value is not None]
        if not present or not all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in present):
            return None
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    return values.astype(float) if values.dtype.kind in "biuf" else None
