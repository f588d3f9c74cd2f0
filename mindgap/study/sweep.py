"""What happens across cells: all are checked before any runs, and summed up when all have run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console

from mindgap.cli.console import console_for
from mindgap.cli.signals import give_way
from mindgap.cli.stderr import complain, print_traceback
from mindgap.core.build import build
from mindgap.core.characters import printable
from mindgap.core.compose import config_folder
from mindgap.core.errors import MindgapError, first_line
from mindgap.core.explain import UserMistake, explain
from mindgap.core.secrets import mask_argument
from mindgap.presentation.tables import Table
from mindgap.results.cell import CellResult
from mindgap.results.files import METRICS_FILE, write_cell, write_summary
from mindgap.results.planned import read_planned, write_planned
from mindgap.results.runs import begin_run, end_run
from mindgap.results.sweep import SweepResults, read_sweep
from mindgap.storage.trouble import disk_trouble
from mindgap.study import terminal
from mindgap.study.check import check, check_writable
from mindgap.study.claims import refuse_running, release
from mindgap.study.elsewhere import Telling, wait_for_the_others
from mindgap.study.experiment import build_experiment
from mindgap.study.forecast import forecasts
from mindgap.study.job import run_settings, unmade
from mindgap.study.jobs import compose_jobs, forget_hydras_copy, plain, sweeps_plainly
from mindgap.study.names import forget_names, name_cells, names_here, write_names
from mindgap.study.together import answer_together, forget_shares
from mindgap.tracking.base import Tracker


class SweepCallback(Callback):
    """Hydra's hooks around a run or a multirun, in the process that the user started."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with never_swallowed():
            self._begin([plain(config)], launches_here=True, all_known=True)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with never_swallowed():
            here = str(config.hydra.launcher._target_).endswith("BasicLauncher")
            self._begin(
                [plain(job) for job in compose_jobs(config)], launches_here=here, all_known=sweeps_plainly(config)
            )

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Hydra keeps what every job was told until the last has ended, and prints it where one fails.

        A long sweep would grow by it, and secrets would be shown.
        """
        job_return.cfg = job_return.hydra_cfg = None
        job_return.overrides = [mask_argument(override) for override in job_return.overrides or ()]

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        with never_swallowed():
            if _under_way:
                _under_way.pop().stop()
            settings = plain(config)
            folder = Path(settings["outputs"]) / settings["sweep"]
            end_run(folder)
            forget_hydras_copy(folder)  # of a sweeper that is not ours
            sweep = end_sweep(settings, console_for())
        if any(cell.status == "failed" for cell in sweep.cells):
            sys.exit(1)

    on_multirun_end = on_run_end

    def _begin(self, jobs: Sequence[Mapping[str, Any]], *, launches_here: bool, all_known: bool) -> None:
        command = f"python -m mindgap {shlex.join(map(mask_argument, sys.argv[1:]))}".strip()
        console = console_for()
        if not begin_sweep(jobs, console, launches_here=launches_here, all_known=all_known, command=command):
            sys.exit(0)
        _under_way.append(_UnderWay(jobs[0], None if launches_here else _telling(jobs[0], console)))


@dataclass(frozen=True)
class _UnderWay:
    """A sweep that Hydra runs from this process: begun, and not ended.

    Attributes:
        settings: Of one of its jobs.
        telling: What tells of jobs that run elsewhere; None where they run here and tell of themselves.
    """

    settings: Mapping[str, Any]
    telling: Telling | None

    def stop(self) -> None:
        if self.telling is not None:
            self.telling.stop()


_under_way: list[_UnderWay] = []


def _telling(settings: Mapping[str, Any], console: Console) -> Telling:
    folder = Path(settings["outputs"]) / settings["sweep"]
    telling = Telling(folder, names_here(folder), console)
    telling.start()
    return telling


def end_after(error: Exception) -> bool:
    """Sum up the sweep under way, if there is one, after what runs its jobs has failed; whether there was one."""
    if not _under_way:
        return False
    sweep = _under_way.pop()
    console = console_for()
    with never_swallowed():
        wait_for_the_others(error, console)
        sweep.stop()
        said = printable(f"{type(error).__name__}: {first_line(error)}")
        console.print(f"The jobs could not be run to their end: {said}", markup=False, soft_wrap=True)
        end_sweep(sweep.settings, console)
    return True


def run_sweep(jobs: Sequence[Mapping[str, Any]], console: Console, command: str | None = None) -> SweepResults | None:
    """Run jobs in this process, one after another; the sweep as its files have it, or None where only a plan was asked.

    Args:
        jobs: Resolved configurations.
        console: What a person reads.
        command: How it was asked for.

    Raises:
        MindgapError: Where a job cannot be run as it is set; nothing has been spent then.
    """
    if not begin_sweep(jobs, console, launches_here=True, command=command):
        return None
    try:
        for job in jobs:
            run_settings(job, console)
    finally:  # after an interrupt this process may live on: it must not seem to be at work still
        release(Path(jobs[0]["outputs"]) / jobs[0]["sweep"])
    end_run(Path(jobs[0]["outputs"]) / jobs[0]["sweep"])
    return end_sweep(jobs[0], console)


def begin_sweep(
    jobs: Sequence[Mapping[str, Any]],
    console: Console,
    *,
    launches_here: bool,
    all_known: bool = True,
    command: str | None = None,
) -> bool:
    """Check every job and say what will run; whether anything will, which `plan=true` forbids.

    Args:
        jobs: Resolved configurations.
        console: What a person reads.
        launches_here: Whether the jobs run in this process, so that their requests can be answered together.
        all_known: Whether these are all the jobs of the sweep; some sweepers choose as they go.
        command: How it was asked for; it is written down.

    Raises:
        ConfigError: Where a setting cannot be right.
        UnavailableError: Where this machine lacks something.
    """
    experiments = [build_experiment(job) for job in jobs]
    check(experiments)
    first = experiments[0]
    folder = first.outputs / first.sweep
    refuse_running(folder)
    named = name_cells(experiments, jobs, folder)
    cells = {name: experiment for name, (_, experiment, _) in named.items()}
    terminal.print_plan(console, jobs[0], experiments, len(cells), folder)
    if first.plan:
        titles = [name.title for name, _, _ in named.values()]
        terminal.print_forecast(console, list(cells.values()), titles, forecasts(list(cells.values())))
        return False
    check_writable(first)
    planned = [unmade(experiment, name, folder / name, job) for name, (_, experiment, job) in named.items()]
    write_planned(folder, planned if all_known else ())
    begin_run(folder, command, len(cells), {cell.judge.name: cell.judge.identity for cell in experiments})
    forget_shares(folder)
    write_names([name for name, _, _ in named.values()], folder)
    if len(cells) > 1 and first.together and launches_here:
        answer_together(cells, folder, console)
    return True


def end_sweep(settings: Mapping[str, Any], console: Console, running: Collection[str] = ()) -> SweepResults:
    """Sum up from the files, which is where cells of any launcher leave their results: read once, compared once.

    A cell that was planned and has left no result is written down as failed.

    Args:
        settings: Of any of the jobs.
        console: What a person reads.
        running: Names of cells that something still works on.
    """
    from mindgap.analysis.headline import headline
    from mindgap.analysis.whole import compare_sweep
    from mindgap.presentation.task_tables import task_tables
    from mindgap.report.write import write_report

    folder = Path(settings["outputs"]) / settings["sweep"]
    planned = read_planned(folder)
    for cell in planned:
        if cell.name not in running and not (folder / cell.name / METRICS_FILE).is_file():
            write_cell(cell)
    if not running:
        release(folder)
        forget_shares(folder)
        forget_names(folder)
    sweep = read_sweep(folder)
    places = {cell.name: place for place, cell in enumerate(planned)}
    results = sorted(sweep.cells, key=lambda cell: (places.get(cell.name, -1), _written_at(cell)))
    write_summary(folder, results)
    where, tables, answers = None, tuple[Table, ...](), list[str]()
    if any(result.status == "finished" for result in results):
        try:
            comparison = compare_sweep(sweep)
        except MindgapError as error:  # samples that allow no comparison are no reason to fail the sweep
            console.print(f"no report: {error}", markup=False, soft_wrap=True)
        else:
            write_report(comparison)
            tables = task_tables(comparison.groups)
            answers = [headline(group) for group in comparison.groups if group.others]
            tracker: Tracker = build(settings["tracker"], "tracker", Tracker)
            where = tracker.log_sweep(comparison)
    terminal.print_summary(console, sweep, [cell.name for cell in results], tables, answers)
    if where and not where.startswith("W&B offline"):  # the summary says how to upload those
        console.print(where, markup=False, soft_wrap=True)
    return sweep


def _written_at(cell: CellResult) -> int:
    return (cell.folder / METRICS_FILE).stat().st_mtime_ns


@contextmanager
def never_swallowed() -> Iterator[None]:
    """End the program where Hydra would turn an exception in a callback into a warning and go on.

    Exit code 2 with one message for a user's mistake, 1 with a traceback for anything else.
    """
    try:
        yield
    except UserMistake as mistake:
        give_way(mistake)
        complain(explain(mistake, config_folder()))
        sys.exit(2)
    except Exception as error:  # noqa: BLE001  # re-raised as an exit, which Hydra lets through
        give_way(error)
        if said := disk_trouble(error):
            complain(said)
            sys.exit(2)
        print_traceback(error)
        sys.exit(1)
