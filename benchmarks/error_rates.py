"""How often the test of a sweep claims what is not there, and how often it finds what the plan says it will.

    OMP_NUM_THREADS=1 python benchmarks/error_rates.py [--families 1000]

A family is 21 paired differences, each a queries × items table, corrected by Holm: three metrics of seven cells. As
everywhere, fewer than six queries are taken as they are: their own effects then add up to nothing under the null.

*Nothing there.* The share of families in which any adjusted p is below 0.05, for designs, by which factor decides, and
by the shape of the effects; in parentheses the share that does so without the note on uneven effects. `normal`;
`skewed`, where in either arm a few queries and items respond strongly (log-normal) and the arms do not differ
otherwise; `one-sided`, where the *differences themselves* are log-normal with a mean of 0, which no symmetric test
survives with few clusters.
*Something there.* Every difference of a family is as large as `plan=true` says can be found with 80 %: the share that
is found at 0.05 / 21, which is what the plan promises.
*A mixed model* (statsmodels, crossed random intercepts, if it is installed) on one of the designs.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np

from mindgap.stats.crossed import CrossedTable, taken_as_it_is
from mindgap.stats.power import Components, detectable
from mindgap.stats.significance import UNEVEN, adjust, no_difference, unevenness

TESTS = 21
DESIGNS = [(3, 24), (6, 8), (6, 24), (9, 8), (14, 8), (14, 12), (14, 16), (14, 57), (30, 24), (14, 171)]
DECIDE = {
    "noise": Components(0.0, 0.0, 1.0),
    "queries": Components(0.6, 0.2, 0.8),
    "items": Components(0.1, 0.6, 0.8),
    "both": Components(0.4, 0.4, 0.8),
}
MIXED = ((14, 16), 200)
"""Design and number of tests of the comparison with a mixed model."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0, standard deviation 1, skewness 6."""
    drawn = np.exp(generator.normal(0, 1, shape))
    return np.asarray((drawn - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e))


SHAPES: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(0, 1, shape),
    "skewed": lambda generator, shape: (lognormal(generator, shape) - lognormal(generator, shape)) / 2**0.5,
    "one-sided": lognormal,
}


def table(
    generator: np.random.Generator, design: tuple[int, int], of: Components, draw: Draw, shift: float = 0.0
) -> CrossedTable:
    """Paired differences of one metric of one cell."""
    queries, items = design
    of_queries, of_items = of.queries * draw(generator, (queries, 1)), of.items * draw(generator, (1, items))
    given = taken_as_it_is(queries, items)
    if given == "queries":
        of_queries = of_queries - of_queries.mean()
    values = of_queries + of_items + of.rest * generator.normal(0, 1, design) + shift
    return CrossedTable(values, np.ones(design)).given(given)


def error_rates(families: int) -> None:
    print("| queries × items | decides | " + " | ".join(SHAPES) + " |")
    print("|---" * (2 + len(SHAPES)) + "|")
    for design in DESIGNS:
        for name, components in DECIDE.items():
            cells = []
            for shape, draw in SHAPES.items():
                generator = np.random.default_rng([design[0], design[1], len(name), len(shape)])
                claimed, unnoted = 0, 0
                for _ in range(families):
                    family = [table(generator, design, components, draw) for _ in range(TESTS)]
                    claims = any(p is not None and p < 0.05 for p in adjust([no_difference(one).p for one in family]))
                    claimed += claims
                    unnoted += claims and unevenness(family) <= UNEVEN
                cells.append(f"{100 * claimed / families:.1f} % ({100 * unnoted / families:.1f} %)")
            print(f"| {design[0]} × {design[1]} | {name} | " + " | ".join(cells) + " |", flush=True)


def power(families: int) -> None:
    print("\n| queries × items | decides | smallest difference | found |\n|---|---|---|---|")
    for design in DESIGNS:
        for name, components in DECIDE.items():
            planned = detectable("behaviour", *design, components=components, tests=TESTS).difference
            assert planned is not None
            generator = np.random.default_rng([*design, len(name)])
            p = [
                no_difference(table(generator, design, components, SHAPES["normal"], planned)).p
                for _ in range(2 * families)
            ]
            found = np.mean(np.array(p, dtype=float) < 0.05 / TESTS)
            print(f"| {design[0]} × {design[1]} | {name} | {planned:.2f} | {100 * found:.0f} % |", flush=True)


def mixed_model() -> None:
    try:
        import statsmodels.formula.api as formulas
        from pandas import DataFrame
    except ImportError:
        print("\nNo mixed model beside it: pip install statsmodels")
        return
    design, tests = MIXED
    print(f"\n| {design[0]} × {design[1]}, single tests at 0.05 | mindgap | mixed model |\n|---|---|---|")
    query, item = (grid.ravel() for grid in np.indices(design))
    for name, components in DECIDE.items():
        generator = np.random.default_rng([*design, len(name)])
        ours, theirs = 0, 0
        for _ in range(tests):
            drawn = table(generator, design, components, SHAPES["normal"])
            test = no_difference(drawn)
            frame = DataFrame({"y": drawn.sums.ravel(), "query": query, "item": item, "all": 1})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parts = {"query": "0 + C(query)", "item": "0 + C(item)"}
                fit = formulas.mixedlm("y ~ 1", frame, groups="all", vc_formula=parts).fit(reml=True)
            ours += test.p is not None and test.p < 0.05
            theirs += float(fit.pvalues["Intercept"]) < 0.05
        print(f"| {name} | {100 * ours / tests:.1f} % | {100 * theirs / tests:.1f} % |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=1000)
    options = parser.parse_args()
    error_rates(options.families)
    power(options.families)
    mixed_model()


if __name__ == "__main__":
    main()
