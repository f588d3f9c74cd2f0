"""A finished sweep for a notebook: its samples, its metrics, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mindgap.analysis.comparison import CellComparison, GroupComparison, Tested
from mindgap.core.errors import ConfigError, MindgapError, UnavailableError
from mindgap.measures.base import Measure
from mindgap.notebook.plots import Plots
from mindgap.results.cell import CellResult
from mindgap.results.question import Question
from mindgap.results.sweep import SweepResults

if TYPE_CHECKING:
    import pyarrow as pa

    from mindgap.analysis.whole import SweepComparison

Format = Literal["html", "markdown", "latex", "svg", "pdf", "png"]


class Sweep:
    """A finished sweep; `mindgap.run` and `mindgap.load` make it. A notebook shows its headline and means.

    Cells are named by their folders in every table, so that tables can be joined by `cell`.
    """

    def __init__(self, results: SweepResults) -> None:
        self._results = results
        self._by_reference: dict[str, tuple[GroupComparison, ...]] = {}

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._results.folder

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """Every cell, finished or failed; of each group of comparable cells the reference first."""
        return self._results.cells

    @cached_property
    def samples(self) -> pa.Table:
        """A row per sample of all cells: the columns of samples.parquet after `cell`.

        `.to_pandas()` makes a data frame of it.
        """
        import pyarrow as pa

        from mindgap.results.samples import samples_table

        tables = []
        for cell in self.cells:
            table = samples_table(cell.records, cell.measures)
            names = pa.array([cell.name] * len(table), pa.string())
            tables.append(table.replace_schema_metadata(None).add_column(0, "cell", names))
        return pa.concat_tables(tables, promote_options="default")

    @cached_property
    def metrics(self) -> pa.Table:
        """A row per cell: who it is, and each measure `x` as `x`, `x_low`, `x_high` (95 % interval) and `x_n`.

        `.to_pandas()` makes a data frame of it.
        """
        import pyarrow as pa

        texts = ("model", "method", "label", "strength", "judge", "status", "reason")
        columns = {"cell": pa.string()} | dict.fromkeys(texts, pa.string()) | {"dose": pa.float64()}
        rows = []
        for cell in self.cells:
            row = {"cell": cell.name, **{name: getattr(cell, name) for name in (*texts, "dose")}}
            for name, estimate in cell.metrics.items():
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
                row[f"{name}_n"] = estimate.n
                columns |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), pa.float64())
                columns[f"{name}_n"] = pa.int64()
            rows.append(row)
        return pa.Table.from_pylist(rows, pa.schema(columns))

    @cached_property
    def comparison(self) -> SweepComparison:
        """All that the analysis says, computed once; `comparison.json` and the reports have the same."""
        from mindgap.analysis.whole import compare_sweep

        return compare_sweep(self._results)

    @property
    def headline(self) -> str:
        """The answer in words, no surer than the numbers; a paragraph a group where there are several."""
        return "\n\n".join(f"{title}: {text}" if title else text for title, text in self._headlines)

    def compare(self, reference: str | None = None, metrics: Sequence[str] | None = None) -> pa.Table:
        """Paired differences from the reference, cell minus reference, with intervals and corrected tests.

        Cells of another model or judge are not compared with each other: a method is looked for in each group of
        comparable cells, and groups that lack it are left out.

        Args:
            reference: A method, a label, a cell's folder, or a cell as the tables call it (`Vector (dose 0.3)`);
                None = `control` where there is one.
            metrics: Names of measures; None = all.

        Returns:
            A row per cell and measure. `cell` and `reference` are folders, `name` and `against` what people call them;
            `difference` with its 95 % interval `low` to `high`; `p` of the single test, `p_holm` and `p_bh` corrected
            for all of the sweep's; `clear` where both the interval and Holm's correction say so; `n` pairs entered,
            `missing` could not. `.to_pandas()` makes a data frame of it.

        Raises:
            ConfigError: No cell, or several, go by that reference, or no measure has that name.
        """
        import pyarrow as pa

        groups = self.comparison.groups if reference is None else self._against(reference)
        known = dict.fromkeys(measure.name for group in groups for measure in group.measures)
        if unknown := [name for name in metrics or () if name not in known]:
            raise ConfigError(f"there is no measure {unknown[0]!r} in this sweep; there are {', '.join(known)}")
        rows = [
            _row(comparison, group.reference, name, tested)
            for group in groups
            for comparison in group.others
            for name, tested in comparison.differences.items()
            if metrics is None or name in metrics
        ]
        return pa.Table.from_pylist(rows, pa.schema(_columns()))

    def report(self, format: Format = "html") -> Path:
        """Write a report into the sweep's folder, as `python -m mindgap.report` does.

        Args:
            format: `html` (one page), `markdown` or `latex` (tables for a paper); `svg`, `pdf` or `png` (figures).

        Returns:
            Where it is; of figures, their folder.

        Raises:
            ConfigError: There is no such format.
        """
        from mindgap.report.write import FIGURES, FORMATS, write_report

        if format not in FORMATS:
            raise ConfigError(f"there is no format {format!r}; there are {', '.join(FORMATS)}")
        paths = write_report(self.comparison, formats=(format,))
        return self.folder / FIGURES if format in ("svg", "pdf", "png") else paths[0]

    @property
    def plot(self) -> Plots:
        """Figures: `.tradeoff()`, `.violins()`, `.heat_map()` and others; `.paper()` for those of a paper."""
        return Plots(self.comparison.groups)

    def measure(self, measure: Measure) -> Sweep:
        """The sweep with one more measure, taken from the recorded samples: nothing is generated again.

        The files stay as they are; a report that is written from the new sweep shows the measure too. One of the same
        name is replaced.

        Args:
            measure: A measure of mindgap's or of your own: see `mindgap.measures.base.Measure`.

        Returns:
            A new sweep; this one stays as it is.

        Raises:
            ConfigError: The measure's declaration makes no sense, or a column of the samples has its name already.
            UnavailableError: This machine lacks what it takes to measure.
        """
        from mindgap.measures.base import declared, measured
        from mindgap.measures.estimates import count, estimates
        from mindgap.results.samples import COLUMNS
        from mindgap.results.sweep import grouped

        declaration = declared(measure)
        if declaration.name in COLUMNS:
            raise ConfigError(f"{declaration.name} is already a column of the samples; choose another name")
        if lacking := (measure.lacks() if hasattr(measure, "lacks") else []):
            raise UnavailableError(f"{declaration.name} cannot be measured here: it lacks {'; '.join(lacking)}")
        cells = []
        for cell in self.cells:
            records = tuple(
                replace(record, measures={**record.measures, **again.measures})
                for record, again in zip(cell.records, measured(cell.records, [measure]), strict=True)
            )
            settings: dict[str, Any] = {
                name: cell.config.get(name, usual)
                for name, usual in (("seed", 0), ("resamples", 10_000), ("population", False))
            }
            added: dict[str, Any] = {
                "records": records,
                "measures": (*(known for known in cell.measures if known.name != declaration.name), declaration),
                "metrics": {**cell.metrics, **estimates(records, [declaration], **settings)},
                "counts": {**cell.counts, **count(records, [declaration])},
            }
            cells.append(replace(cell, **added) if cell.status == "finished" else cell)
        return Sweep(replace(self._results, groups=grouped(cells)).asking(self._results.question))

    def ask(self, **question: Any) -> Sweep:
        """The sweep with another question; nothing is generated or judged again.

        Args:
            **question: What to change of the sweep's own question: `margin`, `metric`, `at_least`, `reference`; see
                `mindgap.results.question.Question`.

        Returns:
            A new sweep, whose headline answers it; this one stays as it is.

        Raises:
            ConfigError: There is no such part of a question, or it cannot be asked of this sweep.
        """
        from mindgap.core.build import build

        asked = {**asdict(self._results.question), **question}
        return Sweep(self._results.asking(build(asked, "question", Question)))

    def pairs(self, metrics: Sequence[str] | None = None) -> pa.Table:
        """Every two cells of a group against each other, later cell minus earlier; intervals from 2,000 resamples.

        Args:
            metrics: Names of primary measures; None = all.

        Returns:
            A row per pair and measure, with the columns of `compare`; p-values are corrected for all pairs. Groups of
            more than 16 cells have none: `compare` takes any cell as its reference.
        """
        import pyarrow as pa

        rows = [
            _row(pair.cell, pair.other, name, tested)
            for group in self.comparison.groups
            for pair in group.pairs
            for name, tested in pair.differences.items()
            if metrics is None or name in metrics
        ]
        return pa.Table.from_pylist(rows, pa.schema(_columns()))

    @property
    def _headlines(self) -> list[tuple[str, str]]:
        """Each group's title, empty where there is but one, and its headline."""
        from mindgap.analysis.headline import headline

        groups = self.comparison.groups
        return [(group.group.title if len(groups) > 1 else "", headline(group)) for group in groups]

    def _against(self, reference: str) -> tuple[GroupComparison, ...]:
        """The groups that have a cell which goes by `reference`, compared with it; each is computed once."""
        if reference not in self._by_reference:
            chosen = [
                (usual, cell) for usual in self.comparison.groups if (cell := usual.group.called(reference)) is not None
            ]
            if not chosen:
                cells = (group.name(cell) for group in self._results.groups for cell in group.finished)
                names = ", ".join(dict.fromkeys(cells))
                raise ConfigError(f"reference={reference!r}: no finished cell goes by that; there are {names}")
            self._by_reference[reference] = tuple(_compared_with(cell, usual) for usual, cell in chosen)
        return self._by_reference[reference]

    def __repr__(self) -> str:
        finished = sum(cell.status == "finished" for cell in self.cells)
        return f"<mindgap.Sweep {self.folder.name}: {finished} of {len(self.cells)} cells finished>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the headline and the means, and which cells failed."""
        from mindgap.presentation.group_tables import means_table
        from mindgap.presentation.tables import html_table

        parts = []
        try:
            for (title, text), group in zip(self._headlines, self.comparison.groups, strict=True):
                parts.append(f"<p>{f'<b>{escape(title)}</b>: ' if title else ''}{escape(text)}</p>")
                parts.append(html_table(means_table(group)))
        except MindgapError as error:  # samples that allow no comparison: a sweep can be looked at all the same
            parts = [f"<p>{escape(repr(self))}</p><p>{escape(str(error))}</p>"]
        failed = [cell for cell in self.cells if cell.status == "failed"]
        parts += [f"<p>{escape(cell.name)} failed: {escape(cell.reason or '')}</p>" for cell in failed]
        return "".join(parts)


def _compared_with(cell: CellResult, usual: GroupComparison) -> GroupComparison:
    """`usual` with another reference, or itself where it has that one already."""
    from mindgap.analysis.compute import compare

    if cell is usual.reference.cell:
        return usual
    return compare(usual.group.against(cell), usual.question)


def _columns() -> dict[str, Any]:
    """Types of the columns of a table of differences."""
    import pyarrow as pa

    texts, numbers = ("cell", "name", "reference", "against", "metric"), ("difference", "low", "high", "p")
    columns: dict[str, Any] = dict.fromkeys(texts, pa.string())
    columns |= dict.fromkeys((*numbers, "p_holm", "p_bh"), pa.float64())
    return columns | {"clear": pa.bool_(), "n": pa.int64(), "missing": pa.int64()}


def _row(comparison: CellComparison, reference: CellComparison, name: str, tested: Tested) -> dict[str, Any]:
    """A difference as a row of such a table."""
    return {
        "cell": comparison.cell.name,
        "name": comparison.name,
        "reference": reference.cell.name,
        "against": reference.name,
        "metric": name,
        "difference": tested.estimate.value,
        "low": tested.estimate.low,
        "high": tested.estimate.high,
        "p": tested.difference.p,
        "p_holm": tested.p_holm,
        "p_bh": tested.p_bh,
        "clear": tested.clear,
        "n": tested.estimate.n,
        "missing": tested.estimate.missing,
    }
