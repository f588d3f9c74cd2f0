"""A kind of intervention: a vector from one text to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mindgap.backends.base import Capability
from mindgap.core.edits import AddVector, Declined, Edit
from mindgap.core.records import Message, Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.vectors import block_at

NEEDS: frozenset[Capability] = frozenset({"residual"})


@dataclass(frozen=True)
class Towards:
    """Adds what a text that shows the behaviour has more of than a plain one, in the residual stream of one block.

    Attributes:
        texts: For each query, a text that shows it.
        plain: A text that shows nothing in particular.
        depth: Relative depth of the block, above 0 and up to 1.
    """

    texts: dict[str, str]
    plain: str = "It is as it is. There is a table, and there is a chair beside it."
    depth: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.depth <= 1:
            raise ValueError(f"depth must be above 0 and at most 1, not {self.depth}")

    @property
    def needs(self) -> frozenset[Capability]:
        """A backend whose residual stream can be read and edited."""
        return NEEDS

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[Edit, ...] | Declined]:
        """One vector a query; a query without a text is declined, with the reason."""
        layer = block_at(self.depth, bench.layers)
        made: list[tuple[Edit, ...] | Declined] = []
        for query in queries:
            if query.text not in self.texts:
                made.append(Declined(f"no text shows {query.text!r}"))
                continue
            asked = (Message("user", "Say something."),)
            shown, plain = bench.residuals([(asked, self.texts[query.text]), (asked, self.plain)], layer)
            made.append((AddVector(layer, shown - plain, label=query.text),))
        return made
