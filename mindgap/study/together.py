"""One sweep, one batch: answer the requests of all cells together before the cells run.

Cells that run one after another have a small batch each, and each waits for its own longest reply. So the requests of
all cells that share a model are gathered first and answered in one session; the cells then find everything in the
store and stay what they are. What was made, and how long it took, is told to the cells through a file in the sweep's
folder.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path

from rich.console import Console

from mindgap.cli.signals import give_way
from mindgap.storage.atomic import replacing
from mindgap.storage.store import Store
from mindgap.study.answers import Answers, PlannedCell, answer, plan_cell
from mindgap.study.experiment import Experiment
from mindgap.study.progress import Progress

log = logging.getLogger(__name__)

SHARES = ".together.json"
"""File in a sweep's folder while it runs: what each cell would have made, and the seconds that took."""
MOST_SAMPLES = 20_000
"""Samples that are held in memory at once; a larger sweep is answered in several rounds."""


def answer_together(cells: Mapping[str, Experiment], folder: Path, console: Console) -> None:
    """Answer the requests of all `cells`, by name, and write what each cell's share was to the sweep's `folder`.

    A cell that cannot be planned is left to its own job, which will say why.
    """
    store = Store(next(iter(cells.values())).store)
    shares: dict[str, dict[str, float]] = {}
    try:
        for group in _by_model(cells):
            began = time.monotonic()
            progress = Progress(console, f"{len(group)} cells")
            made: dict[str, int] = {}
            for batch in _batches(_planned(group, store, progress)):
                answers = answer(list(batch.values()), store, progress)
                own = {name: _keys(cell, answers) for name, cell in batch.items()}
                made |= _made_for(own, progress.made)
                progress.made.clear()  # the store knows them by now: no later round makes them again
            pace = (time.monotonic() - began) / max(1, sum(made.values()))
            shares |= {name: {"made": count, "seconds": pace * count} for name, count in made.items()}
    finally:
        store.close()
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / SHARES) as path:
        path.write_text(json.dumps(shares), encoding="utf-8")


def share_of(cell_folder: Path) -> tuple[int, float]:
    """How many answers of the cell were made before it ran, and the seconds that took; none where it runs alone."""
    path = cell_folder.parent / SHARES
    if not path.is_file():
        return 0, 0.0
    share = json.loads(path.read_text(encoding="utf-8")).get(cell_folder.name, {})
    return int(share.get("made", 0)), float(share.get("seconds", 0.0))


def forget_shares(folder: Path) -> None:
    """Remove what an earlier run of the sweep, or one that was killed, has left."""
    (folder / SHARES).unlink(missing_ok=True)


def _by_model(cells: Mapping[str, Experiment]) -> list[dict[str, Experiment]]:
    """The cells, parted by what answers them."""
    groups: list[dict[str, Experiment]] = []
    for name, experiment in cells.items():
        for group in groups:
            first = next(iter(group.values()))
            if (first.model, first.backend) == (experiment.model, experiment.backend):
                group[name] = experiment
                break
        else:
            groups.append({name: experiment})
    return groups


def _planned(group: Mapping[str, Experiment], store: Store, progress: Progress) -> Iterator[tuple[str, PlannedCell]]:
    """Each cell, planned when it is asked for: all samples of a large sweep at once have no room."""
    for name, experiment in group.items():
        try:
            yield name, plan_cell(experiment, store, progress)
        except Exception as error:  # noqa: BLE001  # its own job meets the same error and writes it down
            give_way(error)
            log.warning("%s is left to its own job: %s", name, error)


def _batches(cells: Iterable[tuple[str, PlannedCell]]) -> Iterator[dict[str, PlannedCell]]:
    """The cells in their order, at most `MOST_SAMPLES` samples together, and at least one cell."""
    batch: dict[str, PlannedCell] = {}
    for name, cell in cells:
        if batch and sum(len(other.samples) for other in batch.values()) + len(cell.samples) > MOST_SAMPLES:
            yield batch
            batch = {}
        batch[name] = cell
    if batch:
        yield batch


def _keys(cell: PlannedCell, answers: Answers) -> set[str]:
    """Keys of all that the cell asked for."""
    keys: set[str] = set().union(*(sample.keys for sample in cell.samples))
    judged = ((cell.judge_group, sample.key) for sample in cell.samples)
    return keys | {answers.judged[sample] for sample in judged if sample in answers.judged}


def _made_for(own: Mapping[str, set[str]], made: Set[str]) -> dict[str, int]:
    """How much of what was made counts for each cell: what several asked for counts for the first of them."""
    counted: set[str] = set()
    counts = {}
    for name, keys in own.items():
        fresh = (keys & made) - counted
        counts[name] = len(fresh)
        counted |= fresh
    return counts
