"""How often the best within a budget breaks its budget in truth, and what the choice is worth where it was made.

    OMP_NUM_THREADS=1 python benchmarks/choices.py [--studies 300]

Studies of a control and eight cells, 14 queries × 57 items, at most three points of accuracy to be lost. *Frontier*:
every cell has more behaviour and less accuracy than the one before, and five of them keep the limit. *Random*: gains
and losses are drawn anew for each study and have nothing to do with each other. Printed: the share of studies in which
the chosen cell loses more than the limit in truth, by the means and with `confidence=0.9`; the behaviour gained in
truth; and by how much the gain over control that is reported lies above the true gain of what was chosen: of the
winner itself, and cross-fitted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from mindgap.stats.samples import CellId, Samples, Scale, from_columns
from mindgap.stats.selection import cross_fit
from mindgap.stats.tradeoff import Rule, best_within

QUERIES, ITEMS, CELLS, LIMIT = 14, 57, 8, 0.03
SCALES = {"behaviour": Scale((1, 5)), "accuracy": Scale((0, 1), binary=True)}
CONTROL = CellId("", "0", "")


@dataclass(frozen=True)
class Truth:
    """What each cell does in truth, control first: `[cells]` each.

    Attributes:
        behaviour: Mean score.
        accuracy: Share right.
    """

    behaviour: np.ndarray
    accuracy: np.ndarray


def frontier(generator: np.random.Generator) -> Truth:
    steps = np.arange(CELLS + 1)
    return Truth(2 + 0.2 * steps, 0.7 - 0.0059 * steps)


def random(generator: np.random.Generator) -> Truth:
    gains, losses = generator.uniform(0, 1, CELLS), generator.uniform(0, 0.08, CELLS)
    return Truth(2 + np.concatenate([[0], gains]), 0.7 - np.concatenate([[0], losses]))


def study(generator: np.random.Generator, truth: Truth) -> Samples:
    """Cells whose changes vary by query and item; items are hard or easy for all cells alike."""
    shape = (CELLS + 1, QUERIES, ITEMS)
    hard = generator.uniform(0, 1, (1, QUERIES, ITEMS))
    shaken = generator.random(shape) < 0.25  # a quarter of the answers do not follow from the control's
    luck = np.where(shaken, generator.uniform(0, 1, shape), hard)
    behaviour = truth.behaviour[:, None, None] + generator.normal(0, 0.5, (CELLS + 1, QUERIES, 1))
    behaviour = behaviour + generator.normal(0, 0.8, shape)
    cell, query, item = (axis.ravel() for axis in np.indices(shape))
    columns = {
        "method": cell.astype(str),
        "query": query,
        "item": item,
        "behaviour": behaviour.ravel(),
        "accuracy": (luck < truth.accuracy[:, None, None]).astype(float).ravel(),
    }
    return from_columns(columns, scales=SCALES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    studies = parser.parse_args().studies
    print("| studies | rule | breaks the limit | gained in truth | reported above it | cross-fitted above it |")
    print("|---" * 6 + "|")
    for name, draw in (("frontier", frontier), ("random", random)):
        for said, rule in (("by the means", Rule(LIMIT)), ("`confidence=0.9`", Rule(LIMIT, confidence=0.9))):
            generator = np.random.default_rng(5)
            broken, gained, flattered, honest = [], [], [], []
            for _ in range(studies):
                truth = draw(generator)
                samples = study(generator, truth)
                best = best_within(samples, CONTROL, rule, resamples=100)
                fit = cross_fit(samples, CONTROL, rule, resamples=100)
                chosen = int(best.cell.method)
                gains = truth.behaviour - truth.behaviour[0]
                broken.append(truth.accuracy[0] - truth.accuracy[chosen] > LIMIT)
                gained.append(gains[chosen])
                control = samples.estimate(CONTROL, "behaviour", resamples=100).value
                reported, fitted = best.value.value, fit.changes["behaviour"].value
                assert control is not None and reported is not None and fitted is not None
                flattered.append(reported - control - gains[chosen])
                honest.append(fitted - sum(share * gains[int(cell.method)] for cell, share in fit.choices.items()))
            numbers = [100 * np.mean(broken), np.mean(gained), np.mean(flattered), np.mean(honest)]
            print("| {} | {} | {:.0f} % | {:.2f} | {:+.2f} | {:+.2f} |".format(name, said, *numbers), flush=True)


if __name__ == "__main__":
    main()
