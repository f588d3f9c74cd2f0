"""Activation addition: the difference between two words or short texts, added where they would have stood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.sources import Layers, Placed, blocks, check_layers

WHERE = "method.interventions"


@dataclass(frozen=True)
class ActAdd:
    """`_target_: mindgap.steering.actadd.ActAdd`. Turner et al. (2023, arXiv 2308.10248).

    Both texts are read as they stand, without a chat template, the shorter one filled up with tokens of a space.
    The paper's layer l is read before block l: the output of block l - 1 here.

    Attributes:
        positive: Text whose activations are added; `{query}` is the behaviour.
        negative: Text whose activations are taken away.
        layers: Blocks: a depth, or a list.
        front: Add the difference of token i to token i of the text, as in the paper, whatever the method's positions
            are; else the difference of the last tokens, where the method's positions say.
    """

    positive: str = "{query}"
    negative: str = ""
    layers: Layers = 0.2
    front: bool = True
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "residual"})
    pairs_texts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_layers(self.layers)
        if not self.positive.strip():
            raise ConfigError(f"{WHERE}: positive is empty; give two words, for example positive: Love, negative: Hate")

    def directions(
        self, queries: Sequence[Query], bench: SteeringBench, *, shuffled: bool = False
    ) -> list[tuple[Placed, ...] | Declined]:
        """See `Source.directions`."""
        return [self._direction(query, bench) for query in queries]

    def _direction(self, query: Query, bench: SteeringBench) -> tuple[Placed, ...]:
        positive, negative = (text.replace("{query}", query.text) for text in (self.positive, self.negative))
        placed: list[Placed] = []
        for layer in blocks(self.layers, bench.layers):
            if not self.front:
                difference = bench.stream(positive, layer)[-1] - bench.stream(negative or " ", layer)[-1]
                placed.append(Placed(layer, difference))
                continue
            for at, row in enumerate(self._differences(positive, negative, layer, bench)):
                if np.abs(row).max() > 1e-6:  # what comes before all text, a BOS, is the same in both
                    placed.append(Placed(layer, row, positions=f"at:{at}"))
        return tuple(placed)

    def _differences(self, positive: str, negative: str, layer: int, bench: SteeringBench) -> np.ndarray:
        """Difference at every token: `[tokens, d_model]`."""
        more = bench.stream(positive, layer)
        less = bench.stream(negative, layer, least=len(more))
        return bench.stream(positive, layer, least=len(less)) - less
