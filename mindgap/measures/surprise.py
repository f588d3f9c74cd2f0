"""How surprising a reply is to the unsteered model: the logarithm of its perplexity."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record


@dataclass(frozen=True)
class Surprise:
    """Mean negative log-likelihood per token of the reply under the unsteered, uninstructed model, in nats."""

    name: str = "nll"
    label: str = "Surprise to the unsteered model (nats/token)"
    range: Range = (0, None)
    better: Better = "lower"
    role: Role = "sign"
    prominence: Prominence = "detail"

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        if sample.perplexity is None:
            return Value(None, sample.perplexity_missing or "no perplexity")
        if not 0 < sample.perplexity < math.inf:
            return Value(None, "the perplexity is not a finite number")
        return Value(math.log(sample.perplexity))
