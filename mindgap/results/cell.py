"""A cell: all samples of one (model, method, strength), as trackers and reports receive it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mindgap.core.estimate import Estimate
from mindgap.core.records import Record

BESIDE_CELLS = ("tracker", "outputs", "sweep", "store", "plan", "hydra")
"""Settings that say where results go and not what they are: they do not make a cell another cell."""


@dataclass(frozen=True)
class CellResult:
    """One finished or failed cell.

    name: unique within the sweep, readable, also the folder's name. sweep: the sweep's name = W&B group.
    judge: name of the judge whose scores the metrics rest on. dose: largest relative dose over the queries, None
    where the method steers nothing. config: resolved, secrets masked. metrics: by name, in display order.
    source: who answered (`Endpoint.identity`): backend, model, revision or weights, whatever the model is called here.
    judge_usd: what the cell's judgements cost in US dollars, whenever they were made; None where unknown.
    counts: generated, cached, errors, unparsed, behaviour_missing, coherence_missing … reason: why it failed.
    """

    name: str
    sweep: str
    model: str
    method: str
    label: str
    strength: str
    judge: str
    status: Literal["finished", "failed"]
    folder: Path
    reason: str | None = None
    dose: float | None = None
    seconds: float = 0.0
    judge_usd: float | None = None
    source: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Estimate] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
