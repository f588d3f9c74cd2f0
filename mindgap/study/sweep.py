"""What happens across cells: checking all of them before any runs, running each once, and summing up."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.logging import RichHandler

from mindgap.analysis.whole import compare_sweep
from mindgap.core.build import build
from mindgap.core.errors import ConfigError, MindgapError
from mindgap.core.keys import content_key
from mindgap.measures.estimates import count, estimates
from mindgap.report.write import write_report
from mindgap.results.cell import BESIDE_CELLS, CellResult
from mindgap.results.files import METRICS_FILE, write_cell, write_summary
from mindgap.results.masking import mask_text, without_secrets
from mindgap.results.sweep import read_sweep
from mindgap.study import terminal
from mindgap.study.check import check
from mindgap.study.experiment import Experiment, build_experiment

log = logging.getLogger(__name__)

CLAIM = ".running"
"""File in a cell's folder while one job of the sweep works on it or has done so; the next sweep clears it."""


class SweepCallback(Callback):
    """Hydra's hooks around a run or a multirun, in the process that the user started."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _never_swallowed():
            self._begin([plain(config)])

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _never_swallowed():
            self._begin([plain(one) for one in compose_jobs(config)])

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        with _never_swallowed():
            self._end(config)

    on_multirun_end = on_run_end

    def _begin(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Check every job and say what will run. Raises ConfigError or UnavailableError if one of them cannot."""
        console = _console()
        experiments = [build_experiment(job) for job in jobs]
        check(experiments)
        folder = experiments[0].outputs / experiments[0].sweep
        for claim in folder.glob(f"*/{CLAIM}"):
            claim.unlink()
        cells = {cell_name(one, job): one for one, job in zip(experiments, jobs, strict=True)}
        terminal.print_plan(console, jobs[0], experiments, len(cells), folder)
        if experiments[0].plan:
            from mindgap.study.forecast import forecast

            terminal.print_forecast(console, list(cells.values()), [forecast(one) for one in cells.values()])
            sys.exit(0)

    def _end(self, config: DictConfig) -> None:
        """Sum up from the files, which is where cells of any launcher leave their results: read once, compared once."""
        folder = Path(config.outputs) / config.sweep
        console = _console()
        sweep = read_sweep(folder)
        results = sorted(sweep.cells, key=lambda cell: (cell.folder / METRICS_FILE).stat().st_mtime_ns)
        write_summary(folder, results)
        where = None
        if any(result.status == "finished" for result in results):
            try:
                comparison = compare_sweep(sweep)
            except MindgapError as error:  # samples that allow no comparison are no reason to fail the sweep
                console.print(f"no report: {error}", markup=False, soft_wrap=True)
            else:
                write_report(comparison)
                where = build(plain(config)["tracker"], "tracker").log_sweep(comparison)
        terminal.print_summary(console, folder, results)
        if where and not where.startswith("W&B offline"):  # the summary says how to upload those
            console.print(where, markup=False, soft_wrap=True)
        if any(result.status == "failed" for result in results):
            sys.exit(1)


@contextmanager
def _never_swallowed() -> Iterator[None]:
    """End the program where Hydra would turn an exception in a callback into a warning and go on.

    Exit code 2 with one message for a user's mistake, 1 with a traceback for anything else.
    """
    from mindgap.core.compose import config_folder
    from mindgap.core.explain import UserMistake, explain

    try:
        yield
    except UserMistake as mistake:
        print(f"mindgap: {explain(mistake, config_folder())}", file=sys.stderr)
        sys.exit(2)
    except Exception:  # noqa: BLE001  # re-raised as an exit, which Hydra lets through
        traceback.print_exc()
        sys.exit(1)


def _console(quiet: bool = False) -> Console:
    """Where a person reads; lines are not folded at 80 columns when nobody's terminal says so."""
    console = Console(highlight=False, quiet=quiet)
    return console if console.is_terminal else Console(highlight=False, quiet=quiet, width=140)


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration without Hydra's own part, resolved. Raises ConfigError for a reference to nothing."""
    from omegaconf.errors import OmegaConfBaseException

    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        resolved = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def compose_jobs(config: DictConfig) -> list[DictConfig]:
    """The configurations that Hydra's basic sweeper is about to run; other sweepers choose as they go: the base one."""
    from hydra import compose
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = list(config.hydra.overrides.task)
    if not str(config.hydra.sweeper._target_).endswith("BasicSweeper"):
        return [compose(config.hydra.job.config_name, overrides=given)]
    declared = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*declared, *given])
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [compose(config.hydra.job.config_name, overrides=list(job)) for job in batch]


def cell_name(experiment: Experiment, config: Mapping[str, Any]) -> str:
    """Readable and unique: model, method, strength, and a hash of every setting that can change the result.

    Jobs that differ only where it has no effect (a strength on a method that does not steer) get the same name.
    config: what `experiment` was built from.
    """
    steers = experiment.method.steers
    counted = {key: value for key, value in config.items() if key not in BESIDE_CELLS and (steers or key != "strength")}
    parts = [experiment.model.name, experiment.method.name]
    if steers:
        parts.append(experiment.strength.label)
    return "-".join([*parts, content_key("cell", config=counted)[:6]])


def run_job(config: DictConfig) -> None:
    """One Hydra job: run its cell unless another job of this sweep has it, and leave the result in files.

    A cell that fails is written down as failed, with its reason; only an interrupt goes further.
    """
    settings = plain(config)
    experiment = build_experiment(settings)
    name = cell_name(experiment, settings)
    folder = (experiment.outputs / experiment.sweep / name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not _claim(folder):
        return
    console = _console(quiet=multiprocessing.parent_process() is not None)
    with _logging_to(folder / "run.log", console):
        result = without_secrets(_run(experiment, name, folder, settings, console))
        write_cell(result)
        terminal.print_cell(console, result)
        if (where := experiment.tracker.log(result)) and len(list(folder.parent.glob("*/metrics.json"))) == 1:
            first = where.partition("; to upload")[0]  # it speaks for all; the summary says how to upload them
            console.print(f"        {first}", markup=False, soft_wrap=True)


def _run(experiment: Experiment, name: str, folder: Path, settings: dict[str, Any], console: Console) -> CellResult:
    from mindgap.storage.store import Store
    from mindgap.study.progress import Progress
    from mindgap.study.run import run_cell, strength_label

    began = time.monotonic()
    result = CellResult(
        name=name,
        sweep=experiment.sweep,
        model=experiment.model.name,
        method=experiment.method.name,
        label=experiment.method.label,
        strength=strength_label(experiment),
        judge=experiment.judge.name,
        status="failed",
        folder=folder,
        config=settings,
        measures=experiment.declarations,
    )
    log.info("cell %s of sweep %s", name, experiment.sweep)
    store = Store(experiment.store)
    try:
        progress = Progress(console, terminal.head_of(result))
        records = run_cell(experiment, store, progress)
        metrics = estimates(records, experiment.declarations, seed=experiment.seed, resamples=experiment.resamples)
    except Exception as error:  # noqa: BLE001  # the seam between cells: whatever broke this one must not lose the others
        log.error("the cell failed\n%s", traceback.format_exc())
        return replace(result, reason=f"{type(error).__name__}: {error}", seconds=time.monotonic() - began)
    finally:
        store.close()
    doses = [record.dose for record in records if record.dose is not None]
    counts = {**count(records, experiment.declarations), **progress.counts}
    log.info("finished: %s", counts)
    return replace(
        result,
        status="finished",
        records=tuple(records),
        metrics=metrics,
        counts=counts,
        judge_usd=progress.usd,
        source=progress.source,
        dose=max(doses, default=None),
        seconds=time.monotonic() - began,
    )


def _claim(folder: Path) -> bool:
    """Whether this job is the first of the sweep to take the cell in `folder`; also between processes."""
    try:
        (folder / CLAIM).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class _Masking(logging.Formatter):
    """Log lines without secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_text(super().format(record))


@contextmanager
def _logging_to(path: Path, console: Console) -> Iterator[None]:
    """While the block runs, log to `path`, and warnings of ours to the console as well."""
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(_Masking("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_person = RichHandler(logging.WARNING, console, show_time=False, show_path=False)
    root, ours = logging.getLogger(), logging.getLogger("mindgap")
    previous = root.level
    root.setLevel(logging.INFO)
    root.addHandler(to_file)
    ours.addHandler(to_person)
    try:
        yield
    finally:
        root.setLevel(previous)
        root.removeHandler(to_file)
        ours.removeHandler(to_person)
        to_file.close()
