"""Writes a sweep as a W&B Report: mindgap's words and tables, panels over the runs of its cells, its summary run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.analysis.answer import directly, question_in_words, settling
from mindgap.analysis.comparison import GroupComparison, behaviour_of, primary_of
from mindgap.analysis.headline import headline
from mindgap.analysis.warnings import warnings_of
from mindgap.analysis.whole import SweepComparison
from mindgap.core.build import build
from mindgap.core.errors import MindgapError
from mindgap.core.measurement import Declaration
from mindgap.presentation.group_tables import all_tables, differences_table, means_table
from mindgap.presentation.tables import markdown
from mindgap.results.cell import CellResult
from mindgap.results.sweep import Group, SweepResults
from mindgap.storage.atomic import replacing
from mindgap.tracking.wandb import RUN_ID, WandbTracker, one_line, quiet_client
from mindgap.tracking.wandb_sweep import CELLS, COMPARISON, PARETO, sweep_content, sweep_figures

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr

SAVED = "wandb_report.json"
"""File in a sweep's folder with the address and id of its report: a report written again replaces the first."""
TITLE_LIMIT = 128
"""Characters that W&B takes."""


class PublishError(MindgapError):
    """There is no W&B Report, and the message says what it would take."""


@dataclass(frozen=True)
class WandbProject:
    """Where runs and report are.

    Attributes:
        entity: A user or team.
        project: The project's name.
    """

    entity: str
    project: str


def publish(
    comparison: SweepComparison,
    *,
    project: str | None = None,
    entity: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> str:
    """Write the W&B Report of a sweep and return its address.

    Cells that have no run at W&B get theirs, and so does the sweep's summary.

    Args:
        comparison: The sweep, and all that is said of it.
        project: None = the one the cells were tracked in, and else the default of `tracker=wandb`.
        entity: None likewise.
        say: Receives a line for each run that is made.

    Raises:
        ConfigError: project cannot be a project's name.
        PublishError: There is no client, key or server, or W&B refuses.
    """
    sweep = comparison.sweep
    tracker = tracker_of(sweep.cells, project=project, entity=entity)
    if find_spec("wandb_workspaces") is None:
        raise PublishError("a W&B Report needs wandb-workspaces: pip install 'mindgap[wandb-report]'")
    with quiet_client(sweep.folder / "wandb"):
        if (reason := tracker.why_offline()) is not None:
            raise PublishError(f"no W&B Report, which is made online only: {reason}")
        try:
            project_of_runs, missing = _at_wandb(sweep, tracker)
            for cell in missing:
                say(f"{cell.name}: {tracker.log(cell)}")
            say(f"summary: {tracker.log_sweep(comparison)}")
            return _save(build_report(comparison, project_of_runs), sweep.folder)
        except MindgapError:
            raise
        except Exception as error:  # the seam to a client and a server that are not ours
            raise PublishError(f"no W&B Report: {one_line(error)}") from error


def tracker_of(cells: Sequence[CellResult], *, project: str | None = None, entity: str | None = None) -> WandbTracker:
    """The settings that the cells were tracked with where that was by W&B, else the defaults; online in any case."""
    saved = [cell.config.get("tracker") or {} for cell in cells]
    wandb = [settings for settings in saved if str(settings.get("_target_", "")).endswith(".WandbTracker")]
    tracker = build(wandb[-1], "tracker") if wandb else WandbTracker()
    return replace(tracker, mode="online", project=project or tracker.project, entity=entity or tracker.entity)


def build_report(comparison: SweepComparison, where: WandbProject) -> wr.Report:
    """The report, not saved yet. Panels show runs by their ids, so namesakes in the project stay out of it."""
    import wandb_workspaces.reports.v2 as wr

    sweep, groups = comparison.sweep, comparison.groups
    blocks: list[Any] = []
    several = len(groups) > 1
    for group in groups:  # what a colleague opens first: the question, its answer, the trade-off
        if question := question_in_words(group):
            blocks.append(wr.P(text=question))
        blocks.append(wr.CalloutBlock(text=f"{group.group.title}: {headline(group)}" if several else headline(group)))
        blocks += [wr.P(text=text) for text in (directly(group), *settling(group)) if text]
        blocks += _tradeoff_blocks(group, where)
    blocks.append(wr.TableOfContents())
    if warnings := warnings_of(sweep):
        blocks.append(wr.UnorderedList(items=[wr.UnorderedListItem(text=text) for text in warnings]))
    for group in groups:
        if several:
            blocks.append(wr.H1(text=group.group.title))
        blocks += _group_blocks(group, where)
    if summary := _run_ids([sweep.folder]):
        blocks += _summary_blocks(comparison, where, summary)
    title = f"{sweep.name}: what the steering cost"
    return wr.Report(
        project=where.project,
        entity=where.entity,
        title=title if len(title) <= TITLE_LIMIT else title[: TITLE_LIMIT - 1] + "…",
        description=f"{len(sweep.cells)} cells, judged by {', '.join(sweep.judges)}. Made by mindgap.",
        blocks=blocks,
        width="fluid",
    )


def _group_blocks(group: GroupComparison, where: WandbProject) -> Iterator[Any]:
    import wandb_workspaces.reports.v2 as wr

    means, differences = means_table(group), differences_table(group)
    yield wr.H2(text="Comparison")
    yield wr.P(text="Intervals and adjusted p-values are mindgap's; W&B computes none of them.")
    yield from (wr.MarkdownBlock(text=markdown(table)) for table in (means, differences) if table is not None)
    runs = _run_ids([run.folder for cell in group.group.cells for run in cell.runs])
    if runs:
        yield wr.H2(text="By model and method")
        yield wr.P(
            text="A bar is the mean over the cells of a method; its range is from the lowest cell to the highest."
        )
        yield wr.PanelGrid(
            runsets=[_runset("cells by model and method", where, runs, ["config.model.name", "config.method.name"])],
            panels=_bars(group.group),
        )
        yield wr.H2(text="Every cell")
        yield wr.PanelGrid(runsets=[_runset("cells", where, runs)], panels=_cell_panels(group.group))
        yield wr.H2(text="Samples")
        yield wr.PanelGrid(
            runsets=[_runset("cells", where, runs)],
            panels=[wr.WeavePanelSummaryTable(table_name="samples", layout=wr.Layout(w=24, h=16))],
        )
    others = [table for table in all_tables(group) if table not in (means, differences)]
    yield wr.H2(text="More tables", collapsed_blocks=[wr.MarkdownBlock(text=markdown(table)) for table in others])


def _bars(group: Group) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    return [
        wr.BarPlot(
            title=label,
            metrics=[name],
            groupby=wr.Config("method.name"),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            layout=wr.Layout(x=8 * number, w=8, h=8),
        )
        for number, (name, label) in enumerate(_labels(group, primary_of(group.measures)).items())
    ]


def _tradeoff_blocks(group: GroupComparison, where: WandbProject) -> list[Any]:
    """Behaviour against each cost, a point a cell; nothing without runs, or where one of the two is not measured."""
    import wandb_workspaces.reports.v2 as wr

    measured = _labels(group.group, group.group.measures)
    target = behaviour_of(group.group.measures)
    runs = _run_ids([run.folder for cell in group.group.cells for run in cell.runs])
    costs = [cost.name for cost in group.costs if cost.name in measured]
    if target is None or target.name not in measured or not runs or not costs:
        return []
    panels = [
        wr.ScatterPlot(
            title=f"{target.name.capitalize()} against {name}",
            x=wr.SummaryMetric(name),
            y=wr.SummaryMetric(target.name),
            layout=wr.Layout(x=12 * number, w=12, h=10),
        )
        for number, name in enumerate(costs)
    ]
    return [wr.H2(text="Trade-off"), wr.PanelGrid(runsets=[_runset("cells", where, runs)], panels=panels)]


def _cell_panels(group: Group) -> list[Any]:
    """All metrics as parallel coordinates, and the cells' settings side by side."""
    import wandb_workspaces.reports.v2 as wr

    measured = _labels(group, group.measures)
    panels: list[Any] = []
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config("method.name"), display_name="method")]
    if any(cell.dose is not None for cell in group.cells):
        columns.append(wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric("dose"), display_name="relative dose"))
    columns += [
        wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(name), display_name=label) for name, label in measured.items()
    ]
    panels.append(wr.ParallelCoordinatesPlot(title="All metrics", columns=columns, layout=wr.Layout(w=24, h=10)))
    panels.append(wr.RunComparer(diff_only="split", layout=wr.Layout(y=10, w=24, h=10)))
    return panels


def _summary_blocks(comparison: SweepComparison, where: WandbProject, runs: Sequence[str]) -> Iterator[Any]:
    """The summary run's tables, to sort and filter, and its figures, which have our intervals."""
    import wandb_workspaces.reports.v2 as wr

    tables = [name for name in (COMPARISON, CELLS, PARETO) if name in sweep_content(comparison, ()).tables]
    panels: list[Any] = [
        wr.WeavePanelSummaryTable(table_name=name, layout=wr.Layout(y=10 * row, w=24, h=10))
        for row, name in enumerate(tables)
    ]
    top = 10 * len(tables)
    panels += [
        wr.MediaBrowser(
            title=title,
            media_keys=[name],
            num_columns=1,
            layout=wr.Layout(x=12 * (number % 2), y=top + 12 * (number // 2), w=12, h=12),
        )
        for number, (name, title, _) in enumerate(sweep_figures(comparison.groups))
    ]
    yield wr.H1(text="Summary run")
    yield wr.P(text="The same numbers as tables to sort and filter, and the figures of report.html.")
    yield wr.PanelGrid(runsets=[_runset("summary", where, runs)], panels=panels)


def _runset(name: str, where: WandbProject, runs: Sequence[str], groupby: Sequence[str] = ()) -> Any:
    import wandb_workspaces.reports.v2 as wr
    from wandb_workspaces import expr

    return wr.Runset(
        entity=where.entity,
        project=where.project,
        name=name,
        filters=[expr.Metric("ID").isin(list(runs))],
        groupby=list(groupby),
        order=[wr.OrderBy("Name", ascending=True)],
    )


def _labels(group: Group, measures: Sequence[Declaration]) -> dict[str, str]:
    """Labels, by name, of those measures that a cell of the group has."""
    return {
        measure.name: measure.label for measure in measures if any(measure.name in cell.metrics for cell in group.cells)
    }


def _run_ids(folders: Sequence[Path]) -> list[str]:
    """Ids of the runs of those cells or sweeps that were logged."""
    paths = [folder / RUN_ID for folder in folders]
    return [path.read_text(encoding="utf-8").strip() for path in paths if path.is_file()]


def _at_wandb(sweep: SweepResults, tracker: WandbTracker) -> tuple[WandbProject, list[CellResult]]:
    """Where W&B has the sweep, and the cells of which it has no run: never logged, or offline and not uploaded."""
    import wandb

    api = wandb.Api(timeout=max(1, round(tracker.timeout_s)))
    entity = tracker.entity or api.default_entity
    if not entity:
        raise PublishError("no W&B Report: the account has no default entity; name one with --entity")
    ids = {cell.name: _run_ids([cell.folder]) for cell in sweep.cells}
    uploaded: set[str] = set()
    if tracker.project in {project.name for project in api.projects(entity)}:
        of_cells = {"name": {"$in": [run_id for run_ids in ids.values() for run_id in run_ids]}}
        uploaded = {run.id for run in api.runs(f"{entity}/{tracker.project}", filters=of_cells)}
    missing = [cell for cell in sweep.cells if not uploaded & set(ids[cell.name])]
    return WandbProject(entity, tracker.project), missing


def _save(report: wr.Report, folder: Path) -> str:
    """Save the report, in the place of the one that was saved for this sweep to the same project; its address."""
    path = folder / SAVED
    if path.is_file():
        saved = json.loads(path.read_text(encoding="utf-8"))
        report.id = saved["id"]
        if saved["url"].rpartition("/reports/")[0] != str(report.url).rpartition("/reports/")[0]:
            report.id = ""
    report.save()
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"url": report.url, "id": report.id}) + "\n", encoding="utf-8")
    return str(report.url)
