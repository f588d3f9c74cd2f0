"""A direction from pairs of texts, by any estimator, at any blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability, Point
from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.estimates import ESTIMATES, plane
from mindgap.steering.pairs import Pair, read_pairs, swapped, told_apart, used
from mindgap.steering.sources import Layers, Placed, blocks, check_layers
from mindgap.steering.vectors import check_prompts
from mindgap.storage.named import named_file

WHERE = "method.interventions"


@dataclass(frozen=True)
class Contrast:
    """`_target_: mindgap.steering.contrast_source.Contrast`.

    Attributes:
        pairs: File of pairs (see `mindgap.steering.pairs.read_pairs`), the same for every query; None = made for each
            query, by `positive` and `negative`.
        strings: What a text in the file is: `prompt`, said by the user, or `text`, read as it stands.
        estimate: `mean`, `pca`, `pca_centred`, `logistic` or `mass_mean` (see `mindgap.steering.estimates`).
        point: Where texts are read: `last`, the last token, or `mean` over the reply's tokens.
        layers: Blocks that are read and steered: `all`, `middle`, a depth, or a list.
        prompts: How many pairs are made where no file gives them.
        positive: Asks for the behaviour in pairs that are made.
        negative: Asks for its absence.
        held_out: Share of a file's pairs, from its end, that the direction is not made of.
        plane: Whether the second axis of a rotation is found too; it takes the directions of all blocks.
    """

    pairs: str | None = None
    strings: str = "prompt"
    estimate: str = "mean"
    point: str = "last"
    layers: Layers = 0.4
    prompts: int = 16
    positive: str = "Act like someone who must {query}."
    negative: str = "Act like someone who must never {query}."
    held_out: float = 0.0
    plane: bool = False
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "residual"})
    pairs_texts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_layers(self.layers)
        for name, options in {
            "estimate": tuple(ESTIMATES), "point": ("last", "mean"), "strings": ("prompt", "text"),
        }.items():  # fmt: skip
            if (value := getattr(self, name)) not in options:
                raise ConfigError(f"{WHERE}: {name}={value!r}, choose {', '.join(options)}")
        check_prompts(self.prompts)
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"{WHERE}: held_out={self.held_out}, must be at least 0 and below 1")
        for name in ("positive", "negative"):
            if "{query}" not in getattr(self, name):
                raise ConfigError(f"{WHERE}: {name} must contain {{query}}")

    def pairs_for(self, query: Query, bench: SteeringBench) -> list[Pair]:
        """Those of the file, or made for the query."""
        if self.pairs is not None:
            pairs = read_pairs(named_file(self.pairs), self.strings)
            return pairs[: used(len(pairs), self.held_out)]
        return told_apart(bench, query.text, self.prompts, self.positive, self.negative)

    def directions(
        self, queries: Sequence[Query], bench: SteeringBench, *, shuffled: bool = False
    ) -> list[tuple[Placed, ...] | Declined]:
        """See `Source.directions`. Raises ConfigError for a file that cannot be read."""
        return [self.direction(self.pairs_for(query, bench), query, bench, shuffled=shuffled) for query in queries]

    def direction(
        self, pairs: Sequence[Pair], query: Query, bench: SteeringBench, *, shuffled: bool = False
    ) -> tuple[Placed, ...]:
        """The direction that some pairs give at each block."""
        chosen = blocks(self.layers, bench.layers)
        read = tuple(range(bench.layers)) if self.plane else chosen
        point: Point = "mean" if self.point == "mean" else "last"
        activations = bench.read([text for pair in pairs for text in (pair.positive, pair.negative)], read, point)
        if not np.isfinite(activations).all():
            raise ConfigError(f"{WHERE}: point=mean reads replies, and one text has none: choose point=last")
        positive, negative = activations[:, ::2], activations[:, 1::2]
        if shuffled:
            swap = swapped(len(pairs), bench.seed, query.text)[None, :, None]
            positive, negative = np.where(swap, negative, positive), np.where(swap, positive, negative)
        estimate = ESTIMATES[self.estimate]
        found = {
            layer: estimate(positive[number], negative[number]).astype(np.float32) for number, layer in enumerate(read)
        }
        candidates = np.stack(list(found.values()))
        return tuple(
            Placed(layer, found[layer], plane(found[layer], candidates) if self.plane else None) for layer in chosen
        )
