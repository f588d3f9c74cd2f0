"""Accuracy within bins of coherence: do answers break where sentences break? (Figure 5 of the paper.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mindgap.core.columns import facts, values_of
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.core.records import Record
from mindgap.stats.bootstrap import crossed_mean

EDGES = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Of the bins on a scale from 1 to 5; the last one holds its upper end too."""
FEWEST = 5
"""Samples below which a bin has no mean."""


@dataclass(frozen=True)
class Bin:
    """Samples whose coherence lies within a bin.

    Attributes:
        low: Lower end of the bin, inclusive.
        high: Upper end, exclusive but in the last bin.
        accuracy: Their mean accuracy with its 95 % interval over crossed queries and items.
    """

    low: float
    high: float
    accuracy: Estimate

    @property
    def name(self) -> str:
        """`3 to 4`."""
        return f"{self.low:g} to {self.high:g}"


def binned(
    records: Sequence[Record], coherence: Declaration, accuracy: Declaration, *, seed: int = 0, resamples: int = 2_000
) -> list[Bin]:
    """The bins that hold `FEWEST` samples or more, lowest first.

    Args:
        records: Samples of one cell, or of several.
        coherence: What they are sorted by, on a scale from 1 to 5.
        accuracy: What is averaged, 0 or 1.
        seed: Of the bootstrap.
        resamples: Of the bootstrap.
    """
    levels, right = values_of(records, coherence.name), values_of(records, accuracy.name)
    queries, items = (np.array(facts(records, name), dtype=object) for name in ("query", "item"))
    bins = []
    for low, high in pairwise(EDGES):
        below = levels <= high if high == EDGES[-1] else levels < high
        inside = (levels >= low) & below & ~np.isnan(right)
        if inside.sum() < FEWEST:
            continue
        mean = crossed_mean(
            right[inside],
            queries[inside],
            items[inside],
            seed=seed,
            resamples=resamples,
            binary=True,
            bounds=accuracy.range,
        )
        bins.append(Bin(low, high, mean))
    return bins
