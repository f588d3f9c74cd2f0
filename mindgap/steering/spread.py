"""One block's direction, used at several: what directional ablation takes away everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mindgap.backends.base import Capability
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.sources import Layers, Placed, Source, blocks, check_layers


@dataclass(frozen=True)
class Spread:
    """`_target_: mindgap.steering.spread.Spread`.

    Attributes:
        of: Gives the direction, at one block.
        layers: Blocks at which it is used: `all`, `middle`, a depth, or a list.
    """

    of: Source
    layers: Layers = "all"

    def __post_init__(self) -> None:
        check_layers(self.layers)

    @property
    def needs(self) -> frozenset[Capability]:
        return self.of.needs

    @property
    def pairs_texts(self) -> bool:
        return self.of.pairs_texts

    def directions(
        self, queries: Sequence[Query], bench: SteeringBench, *, shuffled: bool = False
    ) -> list[tuple[Placed, ...] | Declined]:
        """See `Source.directions`. Raises ConfigError where the direction is not that of one block."""
        chosen, made = blocks(self.layers, bench.layers), []
        for placed in self.of.directions(queries, bench, shuffled=shuffled):
            if not isinstance(placed, Declined):
                if len(placed) != 1:
                    raise ConfigError(
                        f"method.interventions: source.of gives {len(placed)} directions, and one is spread: name one "
                        "block in source.of.layers"
                    )
                placed = tuple(replace(placed[0], layer=layer) for layer in chosen)
            made.append(placed)
        return made
