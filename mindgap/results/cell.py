"""A cell: all samples of one (model, method, strength), as trackers and reports receive it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.core.records import Record

BESIDE_CELLS = ("tracker", "outputs", "sweep", "store", "plan", "together", "measures", "question", "hydra")
"""Settings that say where results go and what is read off and asked of them: they do not make a cell another cell."""


@dataclass(frozen=True)
class CellResult:
    """One finished or failed cell.

    Attributes:
        name: Unique within the sweep, readable, also the folder's name.
        sweep: The sweep's name, which is the group in W&B.
        model: Short name of the model.
        method: Short name of the method.
        label: What people call the method.
        strength: Label of the strength; `none` where the method steers nothing.
        judge: Name of the judge whose scores the metrics rest on.
        status: Whether it came to its end.
        folder: Where its files are.
        reason: Why it failed.
        dose: Largest relative dose over the queries; None where the method steers nothing.
        seconds: How long it took.
        judge_usd: What its judgements cost in US dollars, whenever they were made; None where unknown.
        source: Who answered (`Endpoint.identity`): backend, model, revision or weights, whatever the model is called.
        config: Resolved, secrets masked.
        measures: What was measured on each sample, in display order.
        metrics: Mean of each measure that applies to any sample, by name.
        counts: generated, cached, errors, unparsed, and `<measure>_missing`.
        records: The samples; of a sweep that was read, they are read from the cell's file when asked for.
        replicates: The cells, one a seed, that this one was pooled from; empty where it is as its files are.
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
    config: dict[str, Any] = field(default_factory=dict, repr=False)  # what is long is not shown: cells stay readable
    measures: tuple[Declaration, ...] = field(default=(), repr=False)
    metrics: dict[str, Estimate] = field(default_factory=dict, repr=False)
    counts: dict[str, int] = field(default_factory=dict, repr=False)
    records: Sequence[Record] = field(default=(), repr=False)
    replicates: tuple[CellResult, ...] = field(default=(), repr=False)

    @property
    def runs(self) -> tuple[CellResult, ...]:
        """The cells as their files are: itself, or those that it was pooled from."""
        return self.replicates or (self,)

    @property
    def imported(self) -> bool:
        """Whether it was recorded elsewhere: then its strengths and doses are in the recording's own unit."""
        return (self.config.get("backend") or {}).get("name") == "replay"
