"""Auto Steer's direction itself, added as it is: what a behaviour has that fifty others have not, without an SAE."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from mindgap.backends.base import Capability
from mindgap.core.edits import AddVector, Declined, Positions
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.damage import dosed
from mindgap.steering.specific import Estimate
from mindgap.steering.vectors import block_at, check_site
from mindgap.steering.wanted import directions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpecificVector:
    """`_target_: mindgap.steering.specific_vector.SpecificVector`.

    Needs no SAE, so it steers any model that runs here.

    Attributes:
        depth: Relative depth of the block whose output is read and steered.
        estimate: `mean`: difference between mean residual streams; `gradient`: what makes the passages likelier;
            `both`: their mean.
        passages: That the model writes for each query.
        damage: Divergence from the unsteered model on unrelated text up to which it is steered, in nats per token.
        dose: Largest relative dose.
        positions: Which tokens are steered: `all`, or `response`.
    """

    depth: float = 0.4
    estimate: str = "both"
    passages: int = 12
    damage: float = 1.0
    dose: float = 1.0
    positions: str = "all"
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "loglikelihood", "residual"})

    def __post_init__(self) -> None:
        where = "method.interventions"
        check_site(self.depth, self.positions)
        if self.estimate not in get_args(Estimate):
            raise ConfigError(f"{where}: estimate={self.estimate!r}, choose {', '.join(get_args(Estimate))}")
        if not 2 <= self.passages <= 100:
            raise ConfigError(f"{where}: passages={self.passages}, must be between 2 and 100")
        if not self.dose > 0 or not self.damage > 0:
            raise ConfigError(f"{where}: dose and damage must be above 0, not {self.dose} and {self.damage}")

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[AddVector, ...] | Declined]:
        """One vector a query at the strength that the limit on damage allows; declined where Auto Steer declines."""
        layer = block_at(self.depth, bench.layers)
        estimate: Estimate = self.estimate  # type: ignore[assignment]  # checked above
        positions: Positions = "response" if self.positions == "response" else "all"
        wanted = directions([query.text for query in queries], self.passages, layer, bench, bench, estimate)
        proposed = [
            known
            if isinstance(known, Declined)
            else (AddVector(layer, known.direction, positions, label=f"{query.text} (specific)"),)
            for query, known in zip(queries, wanted, strict=True)
        ]
        made: list[tuple[AddVector, ...] | Declined] = []
        for query, tried in zip(queries, dosed(proposed, self.damage, bench, self.dose), strict=True):
            if isinstance(tried, Declined):
                log.warning("%r is declined: %s", query.text, tried.reason)
                made.append(tried)
            else:
                chosen = tried[-1]
                log.info("%s: dose %.2f, damage %.2f nats per token", query.text, chosen.dose, chosen.damage)
                made.append(tuple(edit for edit in chosen.edits if isinstance(edit, AddVector)))
        return made
