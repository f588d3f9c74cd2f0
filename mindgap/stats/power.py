"""The smallest difference a design can detect, before a run and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.stats.crossed import CrossedTable, Factor, design_of, taken_as_it_is, variance_of_mean
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.significance import least_t

SIMULATED = 4_000
"""Studies that a smallest difference is read from: with 80 % power it is off by about 1 %."""

_BLOCK = 1_000_000
"""Means drawn at once: 8 MB, whatever the number of items."""


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
    """The smallest true difference that the test of a sweep finds with a given probability.

    Attributes:
        metric: Its name.
        difference: In the metric's own unit; None where nothing varies, so that nothing can be tested.
        alpha: Of the test, after division by the number of tests.
        power: Probability of finding it.
        shares: Of the variance of the mean, by queries, items and rest: what more of would help.
        components: What the differences were taken to vary by.
        given: The factor whose levels the test speaks of, where there are too few to speak of others.
    """

    metric: str
    difference: float | None
    alpha: float
    power: float
    shares: Components
    components: Components
    given: Factor | None = None


def detectable(
    metric: str,
    queries: int,
    items: int,
    *,
    epochs: float = 1,
    components: Components | None = None,
    tests: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
    population: bool = False,
) -> Detectable:
    """Smallest paired difference in `metric` that queries × items × epochs can detect.

    Found with the test itself (`significance.no_difference`): in `SIMULATED` studies with nothing but noise, what each
    would have to be shifted by to be found; the difference is the one that suffices in a share `power` of them.

    Args:
        metric: Its name.
        queries: How many.
        items: How many.
        epochs: How many; they shrink `rest` as if all of it were noise, which is the best they can do.
        components: Where the variance comes from; None = `ASSUMED`.
        tests: How many the correction counts together; alpha is divided by it (Bonferroni: Holm's worst case).
        alpha: Of all tests together.
        power: Probability of finding the difference.
        population: Whether it is for other queries and items even where these are too few for that.

    Raises:
        MindgapError: The design has not two levels of anything, or nothing is assumed of the metric.
    """
    if min(queries, items, tests) < 1 or epochs <= 0 or queries * items < 2:
        raise MindgapError(f"{queries} queries × {items} items × {epochs} epochs and {tests} tests are no design")
    if components is None:
        if metric not in ASSUMED:
            raise MindgapError(
                f"nothing is assumed about {metric!r}: give its components, or ask for {', '.join(ASSUMED)}"
            )
        components = ASSUMED[metric]
    given = None if population else taken_as_it_is(queries, items)
    rest = components.rest**2 / epochs
    if given == "queries":
        queries, rest = 1, rest / queries
    elif given == "items":
        items, rest = 1, rest / items
    variances = np.array([components.queries**2 * (queries > 1), components.items**2 * (items > 1), rest], dtype=float)
    parts = variances / [queries, items, queries * items]
    total = float(parts.sum())
    difference = _least_found(variances, queries, items, alpha / tests, power) if total > 0 else None
    shares = parts / total if total > 0 else parts
    return Detectable(metric, difference, alpha / tests, power, Components(*map(float, shares)), components, given)


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
    table, components = _measured(samples, cell, reference, metric)
    queries, items = table.levels
    return detectable(
        metric,
        queries,
        items,
        epochs=float(table.counts.sum()) / (queries * items),
        components=components,
        tests=tests,
        alpha=alpha,
        power=power,
        population=samples.population,
    )


def components_of(samples: Samples, cell: CellId, reference: CellId, metric: str) -> Components:
    """Standard deviations by source of the paired differences, for planning the next study.

    Raises:
        MindgapError: There are too few pairs.
    """
    return _measured(samples, cell, reference, metric)[1]


def design_for(
    smallest: Detectable, difference: float, queries: int, items: int, *, most: int = 100_000
) -> tuple[int, int] | None:
    """Queries and items, no fewer than now, with which `difference` would be found; None if `most` samples do not.

    Step by step, a quarter more queries or a quarter more items, whichever finds the smaller difference.

    Args:
        smallest: What the design that is there finds.
        difference: To be found, in the metric's own unit.
        queries: How many there are now.
        items: How many there are now.
        most: Samples of a cell beyond which nothing is tried.
    """

    def found(design: tuple[int, int]) -> float:
        with_it = detectable(
            smallest.metric, *design, components=smallest.components, alpha=smallest.alpha, power=smallest.power
        )
        return np.inf if with_it.difference is None else with_it.difference

    while found((queries, items)) > difference:
        more = [math.ceil(1.25 * levels) for levels in (queries, items)]
        queries, items = min([(more[0], items), (queries, more[1])], key=found)
        if queries * items > most:
            return None
    return queries, items


def _measured(samples: Samples, cell: CellId, reference: CellId, metric: str) -> tuple[CrossedTable, Components]:
    """The paired differences by query and item, whatever is given, and what they vary by."""
    samples.require_one_judge([cell, reference], [metric])
    table = replace(samples, population=True).change_table(cell, reference, metric)
    if table.counts.sum() < 2 or max(table.levels) < 2:
        raise MindgapError(f"too few pairs of {cell} and {reference} to measure the variance of {metric}")
    variance = variance_of_mean(table)
    shares = design_of(table.counts).shares
    sds = np.sqrt(np.array([variance.queries, variance.items, variance.rest]) / shares)
    return table, Components(*map(float, sds))


def _least_found(variances: np.ndarray, queries: int, items: int, alpha: float, power: float) -> float:
    """What `no_difference` needs: the quantile, over simulated tables, of the least shift with which it rejects.

    Args:
        variances: Of queries, items and rest.
        queries: How many.
        items: How many.
        alpha: Of the test.
        power: Share of tables.
    """
    noise, design = _noise(queries, items), design_of(np.ones((queries, items)))
    squares, third = [], np.zeros(SIMULATED)
    for factor, (own, others) in enumerate(((queries, items), (items, queries))):
        spread = (variances[factor] + variances[2] / others) ** 0.5
        squares.append(others**2 * spread**2 * noise.squares[factor])
        if own > 2:
            third += spread**3 * noise.cubes[factor] / (own * (own - 1) * (own - 2))
    squares.append(squares[0] / items + squares[1] / queries + variances[2] * noise.rest)
    sums = np.stack(squares, axis=-1)
    error = design.split(sums).sum(-1) ** 0.5
    mean = float((design.shares @ variances) ** 0.5) * noise.mean
    return float(np.quantile(least_t(design.freedom(sums), third / error**3, alpha) * error - mean, power))


@dataclass(frozen=True)
class _Noise:
    """What the test looks at in `SIMULATED` complete tables of normal effects, each of standard deviation 1.

    The tables need not be drawn: the mean, the deviations of query means and item means and the sum of squares of the
    rest are independent.

    Attributes:
        mean: Of all samples, `[tables]`.
        squares: Sum of squared deviations of the query means, and of the item means, `[tables]` each.
        cubes: Sum of their cubes, likewise.
        rest: Sum of squares of what is left, `[tables]`.
    """

    mean: np.ndarray
    squares: tuple[np.ndarray, np.ndarray]
    cubes: tuple[np.ndarray, np.ndarray]
    rest: np.ndarray


@lru_cache(maxsize=4)
def _noise(queries: int, items: int) -> _Noise:
    """Drawn once a design: all metrics and cells of a sweep mostly share one."""
    generator = np.random.default_rng([queries, items])
    drawn: list[list[np.ndarray]] = []
    block = max(1, _BLOCK // (queries + items))
    left = (queries - 1) * (items - 1)
    for start in range(0, SIMULATED, block):
        count = min(block, SIMULATED - start)
        row = [generator.normal(0, 1, count)]
        for own in (queries, items):
            means = generator.normal(0, 1, (count, own))
            deviations = means - means.mean(1, keepdims=True)
            row += [(deviations**2).sum(1), (deviations**3).sum(1)]
        drawn.append([*row, generator.chisquare(left, count) if left else np.zeros(count)])
    mean, squares, cubes, item_squares, item_cubes, rest = map(np.concatenate, zip(*drawn, strict=True))
    return _Noise(mean, (squares, item_squares), (cubes, item_cubes), rest)
