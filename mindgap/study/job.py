"""One job: run its cell unless an equal job has it, and leave the result in files, whatever happens."""

from __future__ import annotations

import logging
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from mindgap.cli.console import console_for
from mindgap.cli.signals import give_way
from mindgap.core.errors import MindgapError
from mindgap.core.records import Record
from mindgap.measures.estimates import count, estimates
from mindgap.results.cell import CellResult
from mindgap.results.files import write_cell
from mindgap.results.masking import without_secrets
from mindgap.study import terminal
from mindgap.study.claims import claim
from mindgap.study.experiment import Experiment, build_experiment
from mindgap.study.jobs import plain
from mindgap.study.names import CellName, began_at, name_here
from mindgap.study.run_log import LOG, logging_to
from mindgap.study.together import share_of

log = logging.getLogger(__name__)


def run_job(config: DictConfig) -> None:
    """One Hydra job; see `run_settings`."""
    run_settings(plain(config), console_for(quiet=multiprocessing.parent_process() is not None))


def run_settings(settings: Mapping[str, Any], console: Console) -> None:
    """Run the cell of a resolved configuration unless another job of this sweep has it, and leave it in files.

    A cell that fails is written down as failed, with its reason; only an interrupt goes further.
    """
    experiment = build_experiment(settings)
    name = name_here(experiment, settings, experiment.outputs / experiment.sweep)
    folder = (experiment.outputs / experiment.sweep / name.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not claim(folder):
        return
    with logging_to(folder / LOG, console):
        result = without_secrets(_run(experiment, name, folder, settings, console))
        write_cell(result)
        terminal.print_cell(console, result, name, _left(result, name, folder))
        if (where := experiment.tracker.log(result)) and len(list(folder.parent.glob("*/metrics.json"))) == 1:
            first = where.partition("; to upload")[0]  # it speaks for all; the summary says how to upload them
            console.print(f"        {first}", markup=False, soft_wrap=True)


def _left(result: CellResult, name: CellName, folder: Path) -> float | None:
    """Seconds that the cells after this one will take at the pace so far; None where most was in the store, or none is.

    Where all cells were answered together, what is left takes no time to speak of.
    """
    if name.number >= name.of or share_of(folder) != (0, 0.0) or not result.counts.get("made"):
        return None
    began = began_at(folder.parent)
    return None if began is None else (time.time() - began) / name.number * (name.of - name.number)


def unmade(experiment: Experiment, name: str, folder: Path, settings: Mapping[str, Any]) -> CellResult:
    """The cell of an experiment as it is while nothing has come of it."""
    return CellResult(
        name=name,
        sweep=experiment.sweep,
        model=experiment.model.name,
        method=experiment.method.name,
        label=experiment.method.label,
        strength=experiment.strength_label,
        judge=experiment.judge.name,
        status="failed",
        folder=folder,
        config=dict(settings),
        measures=experiment.declarations,
    )


def _run(
    experiment: Experiment, name: CellName, folder: Path, settings: Mapping[str, Any], console: Console
) -> CellResult:
    from mindgap.storage.store import Store
    from mindgap.study.progress import Progress
    from mindgap.study.run import run_cell

    began = time.monotonic()
    result = unmade(experiment, name.folder, folder, settings)
    log.info("cell %s of sweep %s", name.folder, experiment.sweep)
    store = Store(experiment.store)
    try:
        progress = Progress(console, name.title)
        records = run_cell(experiment, store, progress)
        metrics = estimates(
            records,
            experiment.declarations,
            seed=experiment.seed,
            resamples=experiment.resamples,
            population=experiment.population,
        )
    except Exception as error:  # noqa: BLE001  # the seam between cells: whatever broke this one must not lose the others
        give_way(error)
        mistake = isinstance(error, MindgapError)  # its sentence is on the screen, its traceback only in the file
        log.log(logging.INFO if mistake else logging.ERROR, "the cell failed\n%s", traceback.format_exc())
        reason = str(error) if mistake else f"{type(error).__name__}: {error}"
        return replace(result, reason=reason, seconds=time.monotonic() - began)
    finally:
        store.close()
    made_before, seconds_before = share_of(folder)
    counted = progress.counts
    made = {
        "made": counted.get("made", 0) + made_before,
        "cached": counted.get("cached", 0) - made_before,
    }
    doses = [record.dose for record in records if record.dose is not None]
    counts = {**count(records, experiment.declarations), **made}
    refused = _refused(records)
    log.info("%s: %s", refused or "finished", counts)
    return replace(
        result,
        status="failed" if refused else "finished",
        reason=refused,
        records=tuple(records),
        metrics=metrics,
        counts=counts,
        judge_usd=progress.usd,
        source=progress.source,
        dose=max(doses, default=None),
        seconds=time.monotonic() - began + seconds_before,
    )


def _refused(records: Sequence[Record]) -> str | None:
    """Why a cell failed of which not one request was answered; None where any was."""
    reasons = Counter(record.error for record in records)
    if not reasons or None in reasons:
        return None
    ((reason, times),) = reasons.most_common(1)
    others = f" (and {len(records) - times} for other reasons)" if times < len(records) else ""
    return f"not one of {len(records)} requests was answered: {reason}{others}"
