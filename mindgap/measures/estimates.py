"""From the records of a cell to its metrics: every measure's mean with its interval, and how much is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.core.records import Record
from mindgap.stats.bootstrap import crossed_mean


def estimates(
    records: Sequence[Record],
    measures: Sequence[Declaration],
    *,
    seed: int,
    resamples: int,
    population: bool = False,
) -> dict[str, Estimate]:
    """Mean of every measure that applies to any of `records`, with its 95 % interval over crossed queries and items."""
    return {
        measure.name: crossed_mean(
            np.array([column(record, measure.name) for record in applying]),
            np.array([record.query for record in applying]),
            np.array([record.item for record in applying]),
            seed=seed,
            resamples=resamples,
            binary=measure.binary,
            bounds=measure.range,
            population=population,
        )
        for measure in measures
        if (applying := [record for record in records if measure.name in record.measures])
        and not all(record.error for record in applying)
    }


def column(record: Record, name: str) -> float:
    """The measure's value, NaN where it is missing or does not apply."""
    value = record.measures[name].value if name in record.measures else None
    return math.nan if value is None else value


def count(records: Sequence[Record], measures: Sequence[Declaration]) -> dict[str, int]:
    """How many samples there are, and how many lack what: no failure is silent."""
    return {
        "samples": len(records),
        "errors": sum(record.error is not None for record in records),
        "unparsed": sum(record.unparsed is not None for record in records),
        "truncated": sum(record.finish_reason in ("length", "thought") for record in records),
        **{
            f"{measure.name}_missing": sum(
                measure.name in record.measures and record.measures[measure.name].value is None for record in records
            )
            for measure in measures
        },
    }
