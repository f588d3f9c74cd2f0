"""What Auto Steer chooses for a specification, and why, for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.core.errors import UnavailableError

if TYPE_CHECKING:
    from rich.console import Group

    from mindgap.core.model import ModelSpec

STORE = Path("outputs/store.sqlite")
"""Where `python -m mindgap` keeps what it has made, so that a study and this command share it."""


def autosteer_report(specification: str, model: ModelSpec) -> Group:
    """All trials and the edits that were taken, by `method=autosteer` with its defaults, seed 0.

    Raises UnavailableError where the model or its SAE is not here, ConfigError for what cannot be followed.
    """
    from rich.console import Group
    from rich.table import Table

    from mindgap.backends.local import LocalBackend
    from mindgap.steering.autosteer import AutoSteer, choose
    from mindgap.steering.bench import SteeringBench
    from mindgap.storage.store import Store

    method, backend = AutoSteer(), LocalBackend()
    if missing := backend.lacks(model, method.needs):
        raise UnavailableError(f"Auto Steer cannot run on model={model.name}: it lacks {'; '.join(missing)}")
    store = Store(STORE)
    try:
        (trials,) = method.trials([specification], SteeringBench(backend.open(model), store, seed=0))
    finally:
        store.close()
    taken = choose(trials, method.damage, specification)

    tried = Table(
        box=None, title="tried on prompts that had no part in the choice (nats per token)", title_justify="left"
    )
    for heading in ("features", "dose", "gain", "damage", ""):
        tried.add_column(heading, justify="right")
    for trial in trials:
        mark = "taken" if trial is taken else "too much damage" if trial.damage > method.damage else ""
        tried.add_row(str(len(trial.edits)), f"{trial.dose:g}", f"{trial.gain:+.3f}", f"{trial.damage:.3f}", mark)
    edits = Table(box=None, title=f"{specification}: edits", title_justify="left")
    edits.add_column("feature", justify="right")
    edits.add_column("strength", justify="right")
    edits.add_column("label")
    edits.add_column("why", style="dim")
    for edit in taken.edits:
        edits.add_row(str(edit.feature), f"{edit.offset:+.3f}", edit.label, edit.note)
    return Group(tried, "", edits)
