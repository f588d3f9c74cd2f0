"""Is a steering method the same method when the query is worded otherwise, the seed is another, or the dose grows?

    python benchmarks/consistency.py autosteer             # names of conf/method, with settings
    python benchmarks/consistency.py autosteer specific --doses 0.05,0.1,0.2,0.3,0.4,0.5

Three tables a method. *Paraphrases* (groups of behaviours.yaml) and *seeds*: how alike the effects are. An effect is
the profile over the thirty behaviours of the embedding sign (signs.py), mean over questions, less that without
steering; alike is Pearson's correlation of two profiles, beside that of queries that mean different things. For methods
that edit features, also the share of features in common. *Dose*: the query's own sign, less that without steering, at
each relative dose, and how steadily it rises (Spearman). Replies are kept in `--scratch`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from signs import Behaviours, embedding_signs, read_behaviours
from specificity import CONTROL, Cell, answered, benches_of, edits_of, method_of, open_questions

from mindgap.core.edits import Edit, FeatureEdit
from mindgap.steering.bench import SteeringBench
from mindgap.steering.damage import dose_of

DOSED = ("be pessimistic", "be apologetic", "talk about the sea", "talk about money", "be religious", "be angry")
"""Behaviours whose dose is varied."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--doses", default="0.05,0.1,0.2,0.3,0.4,0.5")
    parser.add_argument("--behaviours", type=Path, default=Path(__file__).parent / "behaviours.yaml")
    parser.add_argument("--scratch", type=Path, default=Path("outputs/specificity"))
    options = parser.parse_args()

    behaviours = read_behaviours(options.behaviours)
    benches = benches_of(options, range(options.seeds))
    groups = [[str(query) for query in group] for group in behaviours.others["paraphrases"]]
    queries = [query for group in groups for query in group]
    doses = [float(dose) for dose in options.doses.split(",")]

    for name in options.methods:
        made = [edits_of(method_of(name), queries if seed == 0 else DOSED, bench) for seed, bench in enumerate(benches)]
        dosed = edits_of(method_of(name), DOSED, benches[0])
        cells = [Cell(CONTROL, "", ())]
        cells += [
            Cell(f"seed {seed}", query, edits) for seed, of in enumerate(made) for query, edits in of.items() if edits
        ]
        cells += [Cell("seed 0", query, edits) for query, edits in dosed.items() if query not in made[0]]
        cells += [
            Cell(f"dose {dose:g}", query, at_dose(edits, dose, benches[0]))
            for query, edits in dosed.items()
            for dose in doses
        ]
        cells = answered(cells, open_questions()[: options.prompts], options, benches[0])
        effects = effects_of(cells, behaviours, options.prompts)
        print(f"\n## {name}\n")
        print_paraphrases(groups, effects, made[0])
        print_seeds(effects, [made[0] | dosed, *made[1:]])
        print_doses(effects, doses, behaviours)


def at_dose(edits: tuple[Edit, ...], dose: float, bench: SteeringBench) -> tuple[Edit, ...]:
    """The edits at a relative dose."""
    own = dose_of(edits, bench)
    assert own, "edits whose direction is known"
    return tuple(edit.scaled(dose / own) for edit in edits)


def effects_of(cells: Sequence[Cell], behaviours: Behaviours, questions: int) -> dict[tuple[str, str], np.ndarray]:
    """For each method and query: every behaviour's sign less that without steering, mean over questions."""
    signs = embedding_signs([reply for cell in cells for reply in cell.replies], behaviours)
    means = signs.reshape(len(cells), questions, -1).mean(1)
    return {(cell.method, cell.query): row - means[0] for cell, row in zip(cells[1:], means[1:], strict=True)}


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def shared(one: Sequence[Edit], other: Sequence[Edit]) -> float:
    """Features in common over features of either (Jaccard); NaN where no features are edited."""
    mine, theirs = ({edit.feature for edit in edits if isinstance(edit, FeatureEdit)} for edits in (one, other))
    return len(mine & theirs) / len(mine | theirs) if mine | theirs else float("nan")


def print_paraphrases(
    groups: Sequence[Sequence[str]],
    effects: dict[tuple[str, str], np.ndarray],
    made: dict[str, tuple[Edit, ...]],
) -> None:
    print("| paraphrases | correlation of effects | features shared |\n|---|---|---|")
    every = []
    for group in groups:
        pairs = list(itertools.combinations([query for query in group if made[query]], 2))
        correlations = [alike(effects["seed 0", one], effects["seed 0", other]) for one, other in pairs]
        every += correlations
        common = [shared(made[one], made[other]) for one, other in pairs]
        print(f"| {', '.join(group)} | {np.mean(correlations):.2f} | {np.mean(common):.2f} |")
    strangers = [
        alike(effects["seed 0", one], effects["seed 0", other])
        for here, there in itertools.combinations(groups, 2)
        for one, other in itertools.product(here, there)
        if made[one] and made[other]
    ]
    print(f"| *mean* | **{np.mean(every):.2f}** | |\n| *of different groups* | {np.mean(strangers):.2f} | |\n")


def print_seeds(effects: dict[tuple[str, str], np.ndarray], made: Sequence[dict[str, tuple[Edit, ...]]]) -> None:
    print("| seeds | correlation of effects | features shared |\n|---|---|---|")
    every = []
    for query in DOSED:
        pairs = list(itertools.combinations(range(len(made)), 2))
        correlations = [alike(effects[f"seed {one}", query], effects[f"seed {other}", query]) for one, other in pairs]
        every += correlations
        common = [shared(made[one][query], made[other][query]) for one, other in pairs]
        print(f"| {query} | {np.mean(correlations):.2f} | {np.mean(common):.2f} |")
    print(f"| *mean* | **{np.mean(every):.2f}** | |\n")


def print_doses(effects: dict[tuple[str, str], np.ndarray], doses: Sequence[float], behaviours: Behaviours) -> None:
    known = [behaviour.query for behaviour in behaviours.known]
    print("| dose | " + " | ".join(f"{dose:g}" for dose in doses) + " | rank correlation |")
    print("|---" * (len(doses) + 2) + "|")
    curves = np.array([[effects[f"dose {dose:g}", query][known.index(query)] for dose in doses] for query in DOSED])
    for query, curve in zip([*DOSED, "*mean*"], [*curves, curves.mean(0)], strict=True):
        steadiness = spearmanr(doses, curve).statistic
        print(f"| {query} | " + " | ".join(f"{value:+.3f}" for value in curve) + f" | {steadiness:+.2f} |")


if __name__ == "__main__":
    main()
