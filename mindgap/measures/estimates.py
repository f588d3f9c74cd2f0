"""From the records of a cell to its metrics: every measure's mean with its interval, and how much is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mindgap.core.columns import applies, facts, values_of
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
    queries, items = (np.array(facts(records, name), dtype=object) for name in ("query", "item"))
    answered = np.array([not error for error in facts(records, "error")], dtype=bool)
    found = {}
    for measure in measures:
        due = applies(records, measure.name)
        if (due & answered).any():
            found[measure.name] = crossed_mean(
                values_of(records, measure.name)[due],
                queries[due],
                items[due],
                seed=seed,
                resamples=resamples,
                binary=measure.binary,
                bounds=measure.range,
                population=population,
            )
    return found


def count(records: Sequence[Record], measures: Sequence[Declaration]) -> dict[str, int]:
    """How many samples there are, and how many lack what: no failure is silent."""
    return {
        "samples": len(records),
        "errors": sum(error is not None for error in facts(records, "error")),
        "unparsed": sum(unparsed is not None for unparsed in facts(records, "unparsed")),
        "truncated": sum(reason in ("length", "thought") for reason in facts(records, "finish_reason")),
        **{
            f"{measure.name}_missing": int(
                (applies(records, measure.name) & np.isnan(values_of(records, measure.name))).sum()
            )
            for measure in measures
        },
    }
