"""Directions that are trained on pairs of replies: what their sources have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mindgap.backends.base import Capability
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.sources import Layers, Placed, blocks, check_one_block
from mindgap.steering.stimulus import replies_of, swapped_texts
from mindgap.steering.vectors import check_prompts


@dataclass(frozen=True)
class Trained(ABC):
    """A source that is trained by Adam without weight decay, in an order fixed by the seed.

    Every epoch is kept in the store: training that was stopped goes on where it was.

    Attributes:
        pairs: File of pairs of replies to the same messages (see `mindgap.steering.pairs.read_pairs`); None = the
            model's replies to contrast prompts under the query and without.
        layers: One block: a depth, or a list of one.
        prompts: How many pairs are made where no file gives them.
        epochs: Times that all pairs are seen.
        batch: Pairs a step.
    """

    pairs: str | None = None
    layers: Layers = 0.5
    prompts: int = 16
    epochs: int = 10
    batch: int = 4
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "residual"})
    pairs_texts: ClassVar[bool] = True
    above_zero: ClassVar[tuple[str, ...]] = ("epochs", "batch", "rate")
    """Settings that must be above 0."""

    def __post_init__(self) -> None:
        check_one_block(self.layers)
        check_prompts(self.prompts)
        for name in self.above_zero:
            if not getattr(self, name) > 0:
                raise ConfigError(f"method.interventions: {name}={getattr(self, name)}, must be above 0")

    def directions(
        self, queries: Sequence[Query], bench: SteeringBench, *, shuffled: bool = False
    ) -> list[tuple[Placed, ...] | Declined]:
        """See `Source.directions`. Raises ConfigError for a file without pairs of replies."""
        (layer,) = blocks(self.layers, bench.layers)
        made: list[tuple[Placed, ...] | Declined] = []
        for query in queries:
            showing, other = replies_of(self.pairs, query, bench, self.prompts)
            if shuffled:
                showing, other = swapped_texts(showing, other, bench.seed, query.text)
            made.append(self.placed(showing, other, layer, bench))
        return made

    @abstractmethod
    def placed(
        self, showing: Sequence[Text], other: Sequence[Text], layer: int, bench: SteeringBench
    ) -> tuple[Placed, ...] | Declined:
        """What is trained, where it belongs.

        Args:
            showing: Replies that show the behaviour.
            other: Replies to the same messages that do not, or show it less.
            layer: Index of the block.
            bench: The model and the store.
        """
