"""Time of all statistics of a sweep, against scipy where it can do the same; and the coverage of the intervals.

    OMP_NUM_THREADS=2 python benchmarks/stats.py [--resamples 10000]
    OMP_NUM_THREADS=1 python benchmarks/stats.py --coverage 2000

The sweep is 8 cells × 14 queries × 171 items with seven metrics, made up with known effects. scipy.stats.bootstrap has
no crossed clusters; what it can do is the mean of 2,394 independent samples, and the mean over clusters of one kind
given as sums and counts. Both are timed with 10,000 resamples, percentile and BCa, against ours on the same numbers,
the best of three rounds each, in this process. `--coverage` simulates that many studies per design and prints how often
each kind of interval holds the truth; that takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from mindgap.stats.account import accuracy_account, interaction
from mindgap.stats.bootstrap import crossed_mean
from mindgap.stats.compare import compare_cells
from mindgap.stats.crossed import CrossedTable, Resampling
from mindgap.stats.dose import dose_response
from mindgap.stats.power import detectable_after
from mindgap.stats.samples import Samples, Scale, from_columns
from mindgap.stats.selection import cross_fit
from mindgap.stats.tradeoff import Rule, best_within, harmonic_mean, non_inferiority, pareto

QUERIES, ITEMS = 14, 171
CELLS = [
    ("control", None),
    ("prompt", None),
    *[("vector", dose) for dose in (0.1, 0.2, 0.4, 0.8)],
    ("random", 0.2),
    ("combined", 0.2),
]
CUTS = np.array([-2.5, -1.2, 0.0, 1.0])

SCALES = {
    **dict.fromkeys(("behaviour", "coherence"), Scale((1, 5))),
    **dict.fromkeys(("accuracy", "answered", "loglik_accuracy"), Scale((0, 1), binary=True)),
}


def sweep(seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of 8 × 2,394 samples."""
    generator = np.random.default_rng(seed)
    hard, keen = generator.normal(0, 1.5, ITEMS), generator.normal(0, 0.4, QUERIES)
    columns: dict[str, list[Any]] = {}
    for method, dose in CELLS:
        steering = dose or 0.0
        pull = 0.0 if method == "random" else steering * (1.5 + generator.normal(0, 0.4, QUERIES))
        asked = 0.5 if method in ("prompt", "combined") else 0.0
        for query in range(QUERIES):
            moved = float(np.broadcast_to(pull, QUERIES)[query])
            prefers = generator.random(ITEMS) < 1 / (1 + np.exp(hard - 1 + 1.5 * steering))
            answered = generator.random(ITEMS) < 0.97 - 0.3 * steering
            cell: dict[str, Any] = {
                "model": "made-up",
                "method": method,
                "strength": f"dose {dose}" if dose else "none",
                "dose": dose or np.nan,
                "query": f"query {query}",
                "judge": "made-up",
                "item": [f"item {number}" for number in range(ITEMS)],
                "behaviour": scores(2.5 + keen[query] + moved + asked + generator.normal(0, 1.2, ITEMS)),
                "coherence": scores(4.6 - 3 * steering + generator.normal(0, 0.6, ITEMS)),
                "accuracy": (prefers & answered & (generator.random(ITEMS) < 0.95)).astype(float),
                "answered": answered.astype(float),
                "loglik_accuracy": prefers.astype(float),
                "repetition": np.clip(0.05 + 0.5 * steering + generator.normal(0, 0.05, ITEMS), 0, 1),
                "words": generator.poisson(60, ITEMS).astype(float),
            }
            for name, values in cell.items():
                columns.setdefault(name, []).extend(np.broadcast_to(values, ITEMS).tolist())
    return {name: np.array(values) for name, values in columns.items()}


def scores(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 1, 5)


def timed(work: Callable[[], Any], rounds: int = 1) -> tuple[float, Any]:
    """Seconds of the best round, and what it gave."""
    best, result = np.inf, None
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def time_sweep(columns: dict[str, np.ndarray], resamples: int) -> None:
    draws: dict[str, Any] = {"resamples": resamples, "seed": 0}
    samples: Samples = from_columns(columns, scales=SCALES)
    control, prompt, first, second, third, fourth, _, combined = samples.cells
    steered = [first, second, third, fourth]
    others = [cell for cell in samples.cells if cell != control]
    steps: dict[str, Callable[[], Any]] = {
        "align the columns": lambda: from_columns(columns, scales=SCALES),
        "mean and interval, 7 metrics, 8 cells": lambda: [
            samples.estimate(cell, metric, **draws) for cell in samples.cells for metric in samples.metrics
        ],
        "49 paired differences, tests, Holm": lambda: compare_cells(samples, **draws),
        "Pareto front, 3 metrics": lambda: pareto(samples, **draws),
        "best within a budget": lambda: best_within(samples, control, Rule(0.05), **draws),
        "non-inferiority, 7 cells": lambda: [non_inferiority(samples, cell, control, 0.05, **draws) for cell in others],
        "harmonic mean, 8 cells": lambda: [harmonic_mean(samples, cell, **draws) for cell in samples.cells],
        "interaction, 3 metrics": lambda: [
            interaction(samples, combined, (prompt, second), control, metric, **draws)
            for metric in ("behaviour", "coherence", "accuracy")
        ],
        "account of accuracy, 7 cells": lambda: [accuracy_account(samples, cell, control, **draws) for cell in others],
        "dose-response, 2 metrics": lambda: [
            dose_response(samples, steered, control, metric, **draws) for metric in ("coherence", "behaviour")
        ],
        "cross-fitted choice, 5 splits": lambda: cross_fit(samples, control, Rule(0.05), **draws),
        "smallest detectable, 21": lambda: [
            detectable_after(samples, cell, control, metric)
            for cell in others
            for metric in ("behaviour", "coherence", "accuracy")
        ],
    }
    total = 0.0
    for name, step in steps.items():
        seconds, _ = timed(step)
        total += seconds
        print(f"  {name:42} {seconds:7.2f} s")
    print(f"  {'all of it':42} {total:7.2f} s")


def time_against_scipy(columns: dict[str, np.ndarray], resamples: int) -> None:
    chosen = columns["method"] == "control"
    values, query = columns["behaviour"][chosen], columns["query"][chosen]
    item = columns["item"][chosen]
    table = CrossedTable(values.reshape(QUERIES, ITEMS), np.ones((QUERIES, ITEMS)))
    sums, counts = table.sums.sum(0), table.counts.sum(0)

    def independent(method: str) -> Any:
        return stats.bootstrap((values,), np.mean, n_resamples=resamples, method=method, batch=200, rng=0)

    def over_items(method: str) -> Any:
        def mean(chosen: np.ndarray, axis: int = -1) -> np.ndarray:
            return sums[chosen].sum(axis) / counts[chosen].sum(axis)

        return stats.bootstrap(
            (np.arange(ITEMS),), mean, n_resamples=resamples, method=method, vectorized=True, batch=2000, rng=0
        )

    def ours(seed: int) -> Any:
        """A new seed each time: draws are kept from one metric to the next, and that is timed apart."""
        return crossed_mean(values, query, item, resamples=resamples, seed=seed, bounds=(1, 5))

    seeds = iter(range(1000, 2000))
    rows = [
        ("scipy, samples independent, percentile", timed(lambda: independent("percentile"), 3)),
        ("scipy, samples independent, BCa", timed(lambda: independent("BCa"), 3)),
        ("scipy, items as clusters, percentile", timed(lambda: over_items("percentile"), 3)),
        ("scipy, items as clusters, BCa", timed(lambda: over_items("BCa"), 3)),
        ("mindgap, crossed, first metric", timed(lambda: ours(next(seeds)), 3)),
        ("mindgap, crossed, every further metric", timed(lambda: ours(0), 3)),
    ]
    first = rows[4][1][0]
    for name, (seconds, result) in rows:
        interval = result if hasattr(result, "low") else getattr(result, "confidence_interval", None)
        ends = "" if interval is None else f"  {interval.low:.3f} to {interval.high:.3f}"
        print(f"  {name:42} {1000 * seconds:7.1f} ms  {seconds / first:5.2f} ×{ends}")


def coverage(studies: int) -> None:
    """How often 95 % intervals hold the truth: ours, raw pigeonhole percentiles, and a z interval blind to clusters."""
    print(f"  {'design':10} {'data':34} {'mindgap':>9} {'pigeonhole':>11} {'independent':>12}")
    for queries, items in ((14, 171), (14, 24), (6, 40), (3, 24), (3, 171), (30, 60)):
        for name, draw, truth, settings in kinds():
            hits = np.zeros(3)
            generator = np.random.default_rng(11)
            for _ in range(studies):
                values = draw(generator, queries, items)
                hits += [low <= truth <= high for low, high in intervals(values, settings)]
            shares = hits / studies
            print(
                f"  {queries:3} × {items:3}  {name:34} {shares[0]:9.3f} {shares[1]:11.3f} {shares[2]:12.3f}", flush=True
            )


def coverage_of_few(studies: int) -> None:
    """How often the interval of a few queries holds the mean of these queries, and of queries of the kind."""
    print(f"  {'design':10} {'query effects':34} {'these':>9} {'population=true':>16}")
    shapes = {
        "normal, 0.6": lambda generator, queries: generator.normal(0, 0.6, (queries, 1)),
        "one in five responds by 2": lambda generator, queries: 2.0 * (generator.random((queries, 1)) < 0.2) - 0.4,
    }
    for queries, items in ((3, 24), (3, 171), (5, 24)):
        query, item = np.repeat(np.arange(queries), items), np.tile(np.arange(items), queries)
        for name, effects in shapes.items():
            generator, hits = np.random.default_rng(11), np.zeros(2)
            for _ in range(studies):
                of_queries = effects(generator, queries)
                values = of_queries + generator.normal(0, 0.3, (1, items)) + generator.normal(0, 0.8, (queries, items))
                for place, truth in enumerate((of_queries.mean(), 0.0)):
                    ours = crossed_mean(values.ravel(), query, item, resamples=1000, population=bool(place))
                    assert ours.low is not None and ours.high is not None
                    hits[place] += ours.low <= truth <= ours.high
            print(
                f"  {queries:3} × {items:3}  {name:34} {hits[0] / studies:9.3f} {hits[1] / studies:16.3f}", flush=True
            )


def intervals(values: np.ndarray, settings: dict[str, Any]) -> list[tuple[float, float]]:
    queries, items = values.shape
    query, item = np.repeat(np.arange(queries), items), np.tile(np.arange(items), queries)
    ours = crossed_mean(values.ravel(), query, item, resamples=1000, population=True, **settings)
    draws = Resampling(queries, items, 1000).means([CrossedTable(values, np.ones_like(values))])[:, 0]
    half = 1.96 * values.std(ddof=1) / values.size**0.5
    low, high = ours.low, ours.high
    assert low is not None and high is not None
    return [
        (low, high),
        (float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))),
        (float(values.mean() - half), float(values.mean() + half)),
    ]


def kinds() -> list[tuple[str, Callable[[np.random.Generator, int, int], np.ndarray], float, dict[str, Any]]]:
    """Name, how to draw a table, its true mean, and settings of the interval."""

    def effects(generator: np.random.Generator, queries: int, items: int, sds: tuple[float, ...]) -> np.ndarray:
        shapes = ((queries, 1), (1, items), (queries, items))
        return sum((generator.normal(0, sd, shape) for sd, shape in zip(sds, shapes, strict=True)), np.zeros(1))

    def normal(*sds: float) -> Callable[[np.random.Generator, int, int], np.ndarray]:
        return lambda generator, queries, items: effects(generator, queries, items, sds)

    def judged(generator: np.random.Generator, queries: int, items: int) -> np.ndarray:
        return 1.0 + (effects(generator, queries, items, (0.4, 0.6, 1.0))[..., None] > CUTS).sum(-1)

    def answers(centre: float) -> Callable[[np.random.Generator, int, int], np.ndarray]:
        def draw(generator: np.random.Generator, queries: int, items: int) -> np.ndarray:
            logits = centre + effects(generator, queries, items, (0.3, 1.5, 0.0))
            return (generator.random((queries, items)) < 1 / (1 + np.exp(-logits))).astype(float)

        return draw

    def share(centre: float) -> float:
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        return float((weights / (1 + np.exp(-centre - np.hypot(0.3, 1.5) * nodes))).sum() / weights.sum())

    judged_truth = 1 + float(stats.norm.sf(CUTS / np.sqrt(0.4**2 + 0.6**2 + 1)).sum())
    return [
        ("noise only", normal(0, 0, 1), 0.0, {}),
        ("queries 0.6, items 0.3, rest 0.8", normal(0.6, 0.3, 0.8), 0.0, {}),
        ("queries 0.2, items 1.0, rest 1.0", normal(0.2, 1.0, 1.0), 0.0, {}),
        ("queries 1.0, items 1.0, rest 1.0", normal(1.0, 1.0, 1.0), 0.0, {}),
        ("scores 1-5", judged, judged_truth, {"bounds": (1, 5)}),
        ("right or wrong, 65 % right", answers(0.8), share(0.8), {"binary": True}),
        ("right or wrong, 94 % right", answers(3.7), share(3.7), {"binary": True}),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--coverage", type=int, metavar="STUDIES", help="simulate coverage instead of timing")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    print(
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}, {os.cpu_count()} cores, numpy {np.__version__}"
    )
    if arguments.coverage:
        print(f"\nCoverage of 95 % intervals, {arguments.coverage} studies each:")
        coverage(arguments.coverage)
        print("\nFew queries:")
        coverage_of_few(arguments.coverage)
        return
    columns = sweep()
    print(f"\nA sweep of {len(CELLS)} cells × {QUERIES * ITEMS} samples, {arguments.resamples} resamples:")
    time_sweep(columns, arguments.resamples)
    print(f"\nOne mean of {QUERIES * ITEMS} scores, {arguments.resamples} resamples, against the fifth line:")
    time_against_scipy(columns, arguments.resamples)


if __name__ == "__main__":
    main()
