"""What a notebook needs: run a study, read one, steer a model.

import mindgap

sweep = mindgap.run({"method": ["control", "prompt"], "task.limit": 4})
sweep.headline
sweep.plot.tradeoff()
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from mindgap.core.errors import ConfigError

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import pyarrow as pa

    from mindgap.analysis.comparison import GroupComparison
    from mindgap.analysis.whole import SweepComparison
    from mindgap.backends.base import Endpoint
    from mindgap.core.edits import Edit
    from mindgap.measures.base import Measure
    from mindgap.presentation.figures import Figure
    from mindgap.results.cell import CellResult
    from mindgap.results.sweep import SweepResults
    from mindgap.study.experiment import Experiment

Format = Literal["html", "markdown", "latex"]


def run(
    overrides: Sequence[str] | Mapping[str, Any] = (), *, config_dir: str | Path | None = None, quiet: bool = False
) -> Sweep:
    """Run a study in this process, as `python -m mindgap … -m` does, and read what it left.

    What the store knows is not made again; a study that was stopped goes on where it was.

    Args:
        overrides: As on the command line (`["method=control,prompt", "task.limit=4"]`), or by name, where a list of
            values makes a sweep (`{"method": ["control", "prompt"], "task.limit": 4}`).
        config_dir: A folder of YAML files of your own.
        quiet: Print nothing.

    Returns:
        The sweep. A cell that failed is in it, with its reason.

    Raises:
        ConfigError: For a setting that cannot be right; nothing has been spent then.
        UnavailableError: For something that this machine lacks; likewise.
    """
    from mindgap.study.jobs import jobs_of
    from mindgap.study.sweep import run_sweep
    from mindgap.study.terminal import console_for

    written = (
        [f"{key}={_value(value)}" for key, value in overrides.items()] if isinstance(overrides, Mapping) else overrides
    )
    folder = None if config_dir is None else Path(config_dir)
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"config_dir={folder}: there is no such folder")
    os.environ["MINDGAP_SWEEP"] = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sweep = run_sweep(jobs_of(written, folder), console_for(quiet=quiet))
    if sweep is None:
        raise ConfigError("plan=true says what would run and runs nothing: leave it out, or use the command line")
    return Sweep(sweep)


def load(folder: str | Path) -> Sweep:
    """Read a finished sweep from its folder, `outputs/<sweep>`.

    Raises:
        MindgapError: Where the folder holds no sweep; it says what it holds instead.
    """
    from mindgap.results.sweep import read_sweep

    return Sweep(read_sweep(Path(folder)))


class Sweep:
    """A finished sweep: its samples, its metrics, and what they say. Made by `run` and `load`."""

    def __init__(self, results: SweepResults) -> None:
        self._results = results

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._results.folder

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """Every cell, finished or failed; the reference of each group first."""
        return self._results.cells

    @cached_property
    def samples(self) -> pa.Table:
        """A row per sample of all cells: the columns of samples.parquet after `cell`, the cell's folder.

        `.to_pandas()` makes a data frame of it, where pandas is installed.
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
        """A row per cell: who it is, and each measure `x` as `x`, `x_low`, `x_high` (95 % interval) and `x_n`."""
        import pyarrow as pa

        rows = []
        for cell in self.cells:
            row: dict[str, Any] = {
                name: getattr(cell, name) for name in ("model", "label", "strength", "dose", "status")
            }
            row = {"cell": cell.name, **row}
            for name, estimate in cell.metrics.items():
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
                row[f"{name}_n"] = estimate.n
            rows.append(row)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])

    @cached_property
    def comparison(self) -> SweepComparison:
        """All that the analysis says, computed once; `comparison.json` has the same."""
        from mindgap.analysis.whole import compare_sweep

        return compare_sweep(self._results)

    @property
    def headline(self) -> str:
        """The answer in words, no surer than the numbers."""
        from mindgap.analysis.headline import headline

        return "\n\n".join(headline(group) for group in self.comparison.groups)

    def compare(self, reference: str | None = None, metrics: Sequence[str] | None = None) -> pa.Table:
        """Paired differences of every cell from the reference, with intervals and corrected tests.

        Args:
            reference: A cell's folder, or a method or label that one cell has; None = `control` where there is one.
            metrics: Names of measures; None = all.

        Returns:
            A row per cell and measure: `cell`, `reference`, `metric`, `value`, `low`, `high`, `p`, `p_holm`, `clear`,
            `n`, `missing`.

        Raises:
            ConfigError: Where no cell, or several, go by that reference, or no measure has that name.
        """
        import pyarrow as pa

        groups = self.comparison.groups if reference is None else (self._against(reference),)
        known = {measure.name for group in groups for measure in group.measures}
        if unknown := [name for name in metrics or () if name not in known]:
            raise ConfigError(f"there is no measure {unknown[0]!r} in this sweep; there are {', '.join(sorted(known))}")
        rows = [
            {
                "cell": cell.name,
                "reference": group.reference.name,
                "metric": name,
                "value": tested.estimate.value,
                "low": tested.estimate.low,
                "high": tested.estimate.high,
                "p": tested.difference.p,
                "p_holm": tested.p_holm,
                "clear": tested.clear,
                "n": tested.estimate.n,
                "missing": tested.estimate.missing,
            }
            for group in groups
            for cell in group.others
            for name, tested in cell.differences.items()
            if metrics is None or name in metrics
        ]
        return pa.Table.from_pylist(rows)

    def report(self, format: Format = "html") -> Path:
        """Write a report into the sweep's folder, and return its path."""
        from mindgap.report.write import write_report

        (path,) = write_report(self.comparison, formats=(format,))
        return path

    @property
    def plot(self) -> Plots:
        """Figures of the sweep."""
        return Plots(self)

    def measure(self, measure: Measure) -> Sweep:
        """The sweep with one more measure, taken from the recorded samples: nothing is generated again.

        The files stay as they are. Raises ConfigError where the measure's declaration makes no sense.
        """
        from mindgap.measures.base import declared, measured
        from mindgap.measures.estimates import estimates
        from mindgap.results.sweep import grouped

        declaration = declared(measure)
        cells = []
        for cell in self.cells:
            fresh = measured(cell.records, [measure])
            records = tuple(
                replace(record, measures={**record.measures, **new.measures})
                for record, new in zip(cell.records, fresh, strict=True)
            )
            draws = {name: int(cell.config.get(name, usual)) for name, usual in (("seed", 0), ("resamples", 10_000))}
            metrics = {**cell.metrics, **estimates(records, [declaration], **draws)}
            measures = (*(known for known in cell.measures if known.name != declaration.name), declaration)
            cells.append(replace(cell, records=records, metrics=metrics, measures=measures))
        return Sweep(replace(self._results, groups=grouped(cells)))

    def _against(self, reference: str) -> GroupComparison:
        """The group of the cell that goes by `reference`, compared with it."""
        from mindgap.analysis.compute import compare

        cells = [(group, cell) for group in self._results.groups for cell in group.finished]
        by_folder = [(group, cell) for group, cell in cells if cell.name == reference]
        for named in (by_folder, [(group, cell) for group, cell in cells if reference in (cell.method, cell.label)]):
            if len(named) > 1:
                folders = ", ".join(cell.name for _, cell in named)
                raise ConfigError(f"reference={reference!r} is said of several cells; name one of {folders}")
            if named:
                ((group, chosen),) = named
                others = (cell for cell in group.cells if cell is not chosen)
                return compare(replace(group, cells=(chosen, *others)))
        known = ", ".join(cell.name for cell in self.cells)
        raise ConfigError(f"reference={reference!r}: no finished cell goes by that; there are {known}")

    def __repr__(self) -> str:
        finished = sum(cell.status == "finished" for cell in self.cells)
        return f"<mindgap.Sweep {self.folder.name}: {finished} of {len(self.cells)} cells finished>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the headline and the means."""
        from html import escape

        from mindgap.presentation.group_tables import means_table
        from mindgap.presentation.tables import html_table

        parts = [f"<p>{escape(paragraph)}</p>" for paragraph in self.headline.split("\n\n")]
        return "".join([*parts, *(html_table(means_table(group)) for group in self.comparison.groups)])


@dataclass(frozen=True)
class Plots:
    """Figures of a sweep, for the notebook. Each is Plotly's; `.write_image` and `.write_html` save it."""

    sweep: Sweep

    def tradeoff(self, cost: str = "coherence", group: int = 0) -> go.Figure:
        """Behaviour against what it costs: a point a cell, with both intervals."""
        from mindgap.presentation import figures

        return self._figure(group, figures.tradeoff, cost)

    def distribution(self, measure: str = "behaviour", group: int = 0) -> go.Figure:
        """Shares of samples at each score from 1 to 5."""
        from mindgap.presentation import figures

        return self._figure(group, figures.distribution, measure)

    def heat_map(self, measure: str = "behaviour", group: int = 0) -> go.Figure:
        """Means by steering query and cell."""
        from mindgap.presentation import figures

        return self._figure(group, figures.heat_map, measure)

    def dose(self, measure: str = "behaviour", group: int = 0) -> go.Figure:
        """A measure over the relative dose, for methods that were run at several."""
        from mindgap.presentation import figures

        return self._figure(group, figures.dose_response, measure)

    def account(self, group: int = 0) -> go.Figure:
        """Where accuracy went."""
        from mindgap.presentation import figures

        return _shown(figures.account(self.sweep.comparison.groups[group]), "account")

    def _figure(self, group: int, make: Any, name: str) -> go.Figure:
        compared = self.sweep.comparison.groups[group]
        known = {measure.name: measure for measure in compared.measures}
        if name not in known:
            raise ConfigError(f"there is no measure {name!r} in this sweep; there are {', '.join(known)}")
        return _shown(make(compared, known[name]), f"{make.__name__} of {name}")


def _shown(figure: Figure | None, what: str) -> go.Figure:
    import plotly.graph_objects as go

    if figure is None:
        raise ConfigError(f"{what}: this sweep has too little to draw it from")
    return go.Figure(figure.spec).update_layout(title=figure.title)


def steer(
    model: str = "tiny",
    method: str = "autosteer",
    query: str = "be funny",
    *,
    strength: float | None = None,
    config_dir: str | Path | None = None,
    **overrides: Any,
) -> Steered:
    """A model that is asked for a behaviour by a method, to talk to.

    Args:
        model: An option of the group `model`.
        method: An option of the group `method`.
        query: The behaviour.
        strength: Relative dose; None = as the method makes it.
        config_dir: A folder of YAML files of your own.
        **overrides: Further settings; write `backend__device="cpu"` for `backend.device=cpu`.

    Raises:
        ConfigError: For what does not exist.
        UnavailableError: Where the model cannot run here, or cannot do what the method needs.
    """
    from mindgap.study.check import check
    from mindgap.study.experiment import build_experiment
    from mindgap.study.jobs import jobs_of

    os.environ.setdefault("MINDGAP_SWEEP", "none")
    settings = [f"{key.replace('__', '.')}={_value(value)}" for key, value in overrides.items()]
    written = [f"model={model}", f"method={method}", "judge=proxy", "tracker=none", *settings]
    folder = None if config_dir is None else Path(config_dir)
    (node,) = jobs_of(written, folder)
    node["query_set"] = {**node["query_set"], "name": "asked", "queries": [query]}
    if strength is not None:
        node["strength"] = {"_target_": "mindgap.steering.strength.Dose", "dose": strength}
    experiment = build_experiment(node)
    check([experiment])
    return Steered(experiment)


class Steered:
    """A model under one method and query. Call it with a prompt; made by `steer`."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        (self.query,) = experiment.query_set.queries

    @cached_property
    def _endpoint(self) -> Endpoint:
        return self._experiment.backend.open(self._experiment.model)

    @cached_property
    def _steering(self) -> tuple[tuple[Edit, ...], float | None]:
        from mindgap.storage.store import Store
        from mindgap.study.plan import steer as make

        store = Store(self._experiment.store)
        try:
            (steering,) = make(self._experiment, self._endpoint, store)
        finally:
            store.close()
        return steering

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What is done inside the model; none for a method that only asks."""
        return self._steering[0]

    @property
    def dose(self) -> float | None:
        """Relative dose of the edits; None for a method that only asks."""
        return self._steering[1]

    @overload
    def __call__(self, prompt: str, *, max_tokens: int = ..., temperature: float = ...) -> str: ...
    @overload
    def __call__(self, prompt: list[str], *, max_tokens: int = ..., temperature: float = ...) -> list[str]: ...
    def __call__(self, prompt: str | list[str], *, max_tokens: int = 64, temperature: float = 0.0) -> str | list[str]:
        """The steered reply to a prompt, or to each of several, which share a batch."""
        return self._reply(prompt, max_tokens, temperature, steered=True)

    @overload
    def unsteered(self, prompt: str, *, max_tokens: int = ..., temperature: float = ...) -> str: ...
    @overload
    def unsteered(self, prompt: list[str], *, max_tokens: int = ..., temperature: float = ...) -> list[str]: ...
    def unsteered(self, prompt: str | list[str], *, max_tokens: int = 64, temperature: float = 0.0) -> str | list[str]:
        """The reply of the model as it is: no instruction, no edits."""
        return self._reply(prompt, max_tokens, temperature, steered=False)

    def _reply(self, prompt: str | list[str], max_tokens: int, temperature: float, *, steered: bool) -> str | list[str]:
        from mindgap.backends.fetch import completions
        from mindgap.core.errors import UnavailableError
        from mindgap.core.records import Decoding, Message, Request
        from mindgap.storage.store import Store

        prompts = [prompt] if isinstance(prompt, str) else prompt
        requests = []
        for text in prompts:
            messages: tuple[Message, ...] = (Message("user", text),)
            if steered:
                messages = self._experiment.method.messages(messages, self.query)
            edits = self.edits if steered else ()
            decoding = Decoding(max_tokens, temperature)
            requests.append(Request(self._endpoint.identity, messages, decoding, self._experiment.seed, edits))
        store = Store(self._experiment.store)
        try:
            replies = completions(requests, self._endpoint, store)
        finally:
            store.close()
        texts = []
        for request in requests:
            reply = replies[request.key]
            if reply.error is not None:
                raise UnavailableError(f"there is no reply: {reply.error}")
            texts.append(reply.text)
        return texts[0] if isinstance(prompt, str) else texts

    def __repr__(self) -> str:
        return f"<mindgap.Steered {self._experiment.model.name} by {self._experiment.method.name}: {self.query.text}>"


def _value(value: Any) -> str:
    """A value as Hydra reads it on the command line; a list is several values."""
    if isinstance(value, (list, tuple)):
        return ",".join(_value(entry) for entry in value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
