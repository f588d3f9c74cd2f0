"""Any direction, used in any way: the intervention that most published steering methods are a setting of."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import get_args

import numpy as np

from mindgap.backends.base import Capability
from mindgap.core.directions import DirectionEdit, Gate, Operation, window
from mindgap.core.edits import AddVector, Declined, Edit, Positions
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.condition import PromptCondition
from mindgap.steering.damage import dosed
from mindgap.steering.sources import Placed, Source, random_directions
from mindgap.steering.strength import ResidualNorm
from mindgap.steering.typical import typical_change
from mindgap.steering.vectors import reference_norm

log = logging.getLogger(__name__)

CONTROLS = ("none", "random", "shuffled")
WHERE = "method.interventions"


@dataclass(frozen=True)
class Directed:
    """`_target_: mindgap.steering.directed.Directed`.

    Attributes:
        source: Where the direction comes from.
        operation: What is done along it: `add`, `add_constant_norm`, `ablate`, `clamp`, `rotate` or `rank_one` (see
            `mindgap.core.directions`).
        factor: How much of it at strength=native: times the vector, or the share of an ablation, clamp or rotation.
        norm: Native length of what is added, as a share of the median norm of the residual stream, at each block; None
            = as long as the source has it.
        low: Of `clamp`: least projection, as a share of the median norm of the residual stream; None = no bound.
        high: Likewise: greatest.
        degrees: Of `rotate`: the angle from the direction at which the stream's part in the plane shall lie.
        positions: Which tokens are steered: `all`, `response`, `prompt`, `last:K`, `from:N` or `at:N`.
        half_life: Tokens of the reply after which the strength has halved; None = it stays.
        condition: On which prompts; None = on all.
        damage: Nats per token that the model may move from itself on unrelated text: sets the strength, up to a
            relative dose of 1; None = as the other settings have it.
        control: What stands in the direction's place as a control of its own kind: `random`, an isotropic direction as
            long at the same blocks; `shuffled`, one made of the same pairs with positive and negative swapped in a
            random half of them; `none`, the direction itself.
    """

    source: Source
    operation: str = "add"
    factor: float = 1.0
    norm: float | None = None
    low: float | None = None
    high: float | None = None
    degrees: float | None = None
    positions: str = "all"
    half_life: float | None = None
    condition: PromptCondition | None = None
    damage: float | None = None
    control: str = "none"

    def __post_init__(self) -> None:
        if self.operation not in get_args(Operation):
            raise ConfigError(f"{WHERE}: operation={self.operation!r}, choose {', '.join(get_args(Operation))}")
        try:
            window(self.positions)
        except ValueError as error:
            raise ConfigError(f"{WHERE}: {error}") from error
        if self.control not in CONTROLS:
            raise ConfigError(f"{WHERE}: control={self.control!r}, choose {', '.join(CONTROLS)}")
        if self.control == "shuffled" and not self.source.pairs_texts:
            raise ConfigError(f"{WHERE}: control=shuffled: this direction is made of no pairs; choose control=random")
        bounded = self.low is not None or self.high is not None
        if bounded != (self.operation == "clamp"):
            raise ConfigError(f"{WHERE}: operation=clamp, and no other, needs low, high or both")
        if (self.degrees is not None) != (self.operation == "rotate"):
            raise ConfigError(f"{WHERE}: operation=rotate, and no other, needs degrees")
        for name in ("norm", "half_life", "damage"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ConfigError(f"{WHERE}: {name}={value}, must be above 0")
        if self.norm is not None and not self._adds:
            raise ConfigError(f"{WHERE}: norm is of what is added; operation={self.operation} adds no vector")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError(f"{WHERE}: low={self.low} is above high={self.high}")

    @property
    def _adds(self) -> bool:
        return self.operation in ("add", "add_constant_norm")

    @property
    def needs(self) -> frozenset[Capability]:
        """What a backend must be capable of."""
        scores: frozenset[Capability] = frozenset({"loglikelihood"} if self.damage is not None else ())
        return self.source.needs | scores

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[Edit, ...] | Declined]:
        """The edits for each query; declined where the source declines."""
        gate = self.condition.gate(bench) if self.condition else None
        norm = lru_cache(lambda layer: reference_norm(bench, layer))  # only where a setting asks for it
        made: list[tuple[Edit, ...] | Declined] = []
        found = self.source.directions(queries, bench, shuffled=self.control == "shuffled")
        for query, placed in zip(queries, found, strict=True):
            if isinstance(placed, Declined):
                made.append(placed)
                continue
            if self.control == "random":
                placed = random_directions(placed, query, bench.seed)
            label = query.text if self.control == "none" else f"{query.text} ({self.control})"
            edits = tuple(self._edit(one, norm, gate, label) for one in placed)
            made.append(tuple(self._measured(edit, bench) for edit in edits))
        return self._dosed(made, bench) if self.damage is not None else made

    def _edit(self, placed: Placed, norm: ResidualNorm, gate: Gate | None, label: str) -> Edit:
        """What is done at one block."""
        vector, length = placed.vector, float(np.linalg.norm(placed.vector))
        if self.norm is not None:
            vector = vector * np.float32(self.norm * norm(placed.layer) / max(length, 1e-12))
        positions = placed.positions or self.positions
        if self.operation == "add" and positions in get_args(Positions) and not (self.half_life or gate):
            where: Positions = "response" if positions == "response" else "all"
            return AddVector(placed.layer, vector, where, label).scaled(self.factor)
        if not length and not self._adds:
            raise ConfigError(
                f"{WHERE}: the direction at block {placed.layer} has length 0: nothing to {self.operation}"
            )
        if self.operation == "rotate" and placed.second is None:
            raise ConfigError(
                f"{WHERE}: operation=rotate needs a plane, which this source does not give (source.plane)"
            )
        if self.operation == "rank_one" and placed.reads is None:
            raise ConfigError(
                f"{WHERE}: operation=rank_one needs a direction to read, which this source does not give; "
                "mindgap.steering.reft.LoReft does"
            )
        operation: Operation = self.operation  # type: ignore[assignment]  # checked above
        return DirectionEdit(
            placed.layer,
            vector,
            operation,
            self.factor,
            low=-math.inf if self.low is None else self.low * norm(placed.layer),
            high=math.inf if self.high is None else self.high * norm(placed.layer),
            second={"rotate": placed.second, "rank_one": placed.reads}.get(self.operation),
            degrees=self.degrees or 0.0,
            offset=placed.offset if self.operation == "rank_one" else 0.0,
            positions=positions,
            half_life=self.half_life,
            gate=gate,
            label=label,
        )

    def _measured(self, edit: Edit, bench: SteeringBench) -> Edit:
        return replace(edit, typical=typical_change(edit, bench)) if isinstance(edit, DirectionEdit) else edit

    def _dosed(
        self, made: Sequence[tuple[Edit, ...] | Declined], bench: SteeringBench
    ) -> list[tuple[Edit, ...] | Declined]:
        """At the strength that the limit on damage allows."""
        assert self.damage is not None
        strong: list[tuple[Edit, ...] | Declined] = []
        for tried in dosed(made, self.damage, bench, 1.0):
            if isinstance(tried, Declined):
                strong.append(tried)
                continue
            chosen = tried[-1]
            log.info("%s: dose %.2f, damage %.2f nats per token", chosen.edits[0], chosen.dose, chosen.damage)
            strong.append(chosen.edits)
        return strong
