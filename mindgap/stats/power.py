"""The smallest difference a design can detect, before a run and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.stats.crossed import design_of, variance_of_mean
from mindgap.stats.samples import CellId, Samples


@dataclass(frozen=True)
class Components:
    """Standard deviations of paired differences, in the metric's own unit, by where they come from.

    Attributes:
        queries: Between queries.
        items: Between items.
        rest: What is left of a single pair: the interaction of query and item and the noise of sampling a reply.
    """

    queries: float
    items: float
    rest: float


ASSUMED: Mapping[str, Components] = MappingProxyType(
    {
        "behaviour": Components(queries=0.6, items=0.3, rest=0.8),
        "coherence": Components(queries=0.4, items=0.2, rest=0.7),
        "accuracy": Components(queries=0.05, items=0.2, rest=0.4),
    }
)
"""What is taken before there are data. docs/statistics.md says where it comes from; a pilot run gives better ones
(`components_of`)."""


@dataclass(frozen=True)
class Detectable:
    """The smallest true difference that a two-sided test finds with a given probability.

    Attributes:
        metric: Its name.
        difference: In the metric's own unit.
        standard_error: Of the mean difference.
        freedom: Its degrees of freedom.
        alpha: Of the test, after division by the number of tests.
        power: Probability of finding it.
        shares: Of the variance, by queries, items and rest: what more of would help.
    """

    metric: str
    difference: float
    standard_error: float
    freedom: float
    alpha: float
    power: float
    shares: Components


def detectable(
    metric: str,
    queries: int,
    items: int,
    *,
    epochs: int = 1,
    components: Components | None = None,
    tests: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Detectable:
    """Smallest paired difference in `metric` that queries × items × epochs can detect.

    Args:
        metric: Its name.
        queries: How many.
        items: How many.
        epochs: How many; they shrink `rest` as if all of it were noise, which is the best they can do.
        components: Where the variance comes from; None = `ASSUMED`.
        tests: How many the correction counts together; alpha is divided by it (Bonferroni: Holm's worst case).
        alpha: Of all tests together.
        power: Probability of finding the difference.

    Raises:
        MindgapError: The design has not two levels of anything, or nothing is assumed of the metric.
    """
    if min(queries, items, epochs, tests) < 1 or queries * items < 2:
        raise MindgapError(f"{queries} queries × {items} items × {epochs} epochs and {tests} tests are no design")
    if components is None:
        if metric not in ASSUMED:
            raise MindgapError(
                f"nothing is assumed about {metric!r}: give its components, or ask for {', '.join(ASSUMED)}"
            )
        components = ASSUMED[metric]
    noise = components.rest**2 / (queries * items * epochs)
    parts = np.array(
        [
            components.queries**2 / queries if queries > 1 else 0.0,
            components.items**2 / items if items > 1 else 0.0,
            noise,
        ]
    )
    squares = [
        (part + noise, levels - 1) for part, levels in zip(parts[:2], (queries, items), strict=True) if levels > 1
    ]
    if min(queries, items) > 1:
        squares.append((noise, (queries - 1) * (items - 1)))
    return _detectable(metric, parts, squares, alpha / tests, power)


def detectable_after(
    samples: Samples,
    cell: CellId,
    reference: CellId,
    metric: str,
    *,
    tests: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Detectable:
    """Smallest difference that the samples at hand could have detected, from their own variance.

    Args:
        samples: Of a sweep.
        cell: Whose metric.
        reference: What it is compared with.
        metric: Its name.
        tests: How many the correction counts together.
        alpha: Of all tests together.
        power: Probability of finding the difference.

    Raises:
        MindgapError: There are too few pairs.
    """
    table = samples.table(_changes(samples, cell, reference, metric))
    if table.counts.sum() < 2 or max(table.levels) < 2:
        raise MindgapError(f"too few pairs of {cell} and {reference} to measure the variance of {metric}")
    variance = variance_of_mean(table)
    parts = np.array([variance.queries, variance.items, variance.rest])
    return _detectable(metric, parts, None, alpha / tests, power, variance.freedom)


def components_of(samples: Samples, cell: CellId, reference: CellId, metric: str) -> Components:
    """Standard deviations by source of the paired differences, for planning the next study.

    Raises:
        MindgapError: There are too few pairs.
    """
    table = samples.table(_changes(samples, cell, reference, metric))
    if table.counts.sum() < 2:
        raise MindgapError(f"too few pairs of {cell} and {reference} to measure the variance of {metric}")
    variance, shares = variance_of_mean(table), design_of(table.counts).shares
    parts = np.sqrt(np.array([variance.queries, variance.items, variance.rest]) / shares)
    return Components(*(float(part) for part in parts))


def _changes(samples: Samples, cell: CellId, reference: CellId, metric: str) -> np.ndarray:
    samples.require_one_judge([cell, reference], [metric])
    values, _ = samples.paired(metric, [cell, reference])
    changes: np.ndarray = values[0] - values[1]
    return changes


def _detectable(
    metric: str,
    parts: np.ndarray,
    squares: list[tuple[float, int]] | None,
    alpha: float,
    power: float,
    freedom: float | None = None,
) -> Detectable:
    """`parts` of the variance of the mean, and mean squares with their degrees of freedom (Satterthwaite)."""
    from scipy import special

    total = float(parts.sum())
    if freedom is None:
        freedom = total**2 / sum(square**2 / degrees for square, degrees in squares or []) if total > 0 else np.inf
    error = total**0.5
    reach = float(special.stdtrit(freedom, 1 - alpha / 2) + special.stdtrit(freedom, power))
    shares = parts / total if total > 0 else parts
    return Detectable(metric, reach * error, error, float(freedom), alpha, power, Components(*map(float, shares)))
