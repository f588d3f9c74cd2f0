"""What Auto Steer chooses for a specification, and why, for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.core.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Group

    from mindgap.core.model import ModelSpec

STORE = Path("outputs/store.sqlite")
"""Where `python -m mindgap` keeps what it has made, so that a study and this command share it."""


def autosteer_report(specification: str, model: ModelSpec) -> Group:
    """The edits that `method=autosteer` makes with its defaults, seed 0, why, and how their strength was found.

    Raises UnavailableError where the model or its SAE is not here, ConfigError for what is declined.
    """
    from rich.console import Group
    from rich.table import Table

    from mindgap.backends.local import LocalBackend
    from mindgap.core.edits import Declined
    from mindgap.steering.autosteer import AutoSteer
    from mindgap.steering.bench import SteeringBench
    from mindgap.storage.store import Store

    method, backend = AutoSteer(), LocalBackend()
    if missing := backend.lacks(model, method.needs):
        raise UnavailableError(f"Auto Steer cannot run on model={model.name}: it lacks {'; '.join(missing)}")
    store = Store(STORE)
    try:
        (choice,) = method.choices([specification], SteeringBench(backend.open(model), store, seed=0))
    finally:
        store.close()
    if isinstance(choice, Declined):
        raise ConfigError(choice.reason)

    edits = Table(box=None, title=f"{specification}: edits", title_justify="left")
    edits.add_column("feature", justify="right")
    edits.add_column("strength", justify="right")
    edits.add_column("label")
    edits.add_column("why", style="dim")
    for edit in choice.edits:
        edits.add_row(str(edit.feature), f"{edit.offset:+.3f}", edit.label, edit.note)
    tried = Table(box=None, title="strengths that were tried; the last was taken", title_justify="left")
    tried.add_column("relative dose", justify="right")
    tried.add_column("damage, nats per token", justify="right")
    for dosed in choice.tried:
        tried.add_row(f"{dosed.dose:.2f}", f"{dosed.damage:.2f}")
    known = (
        f"The directions of the two halves of its passages have cosine {choice.agreement:.2f}; what the edits add has "
        f"{choice.explained:.2f} with the direction of all."
    )
    return Group(edits, "", tried, "", known)
