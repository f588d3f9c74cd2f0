"""Computes the comparison of a group of cells: the one place where reports ask `mindgap.stats`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import numpy as np

from mindgap.analysis.comparison import (
    BROKEN,
    CellComparison,
    GroupComparison,
    Tested,
    behaviour_of,
    primary_of,
)
from mindgap.analysis.price import price_of
from mindgap.analysis.rivals import rivals
from mindgap.analysis.samples import from_cells
from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.results.cell import CellResult
from mindgap.results.joined import says
from mindgap.results.question import Question
from mindgap.results.sweep import Group
from mindgap.stats.account import AccuracyAccount, Interaction, accuracy_account, interaction
from mindgap.stats.compare import Difference, compare_cells
from mindgap.stats.dose import DoseResponse, dose_response
from mindgap.stats.power import Detectable, detectable_after
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.selection import CrossFit, cross_fit
from mindgap.stats.significance import UNEVEN, adjust
from mindgap.stats.tradeoff import (
    Best,
    FrontMember,
    NonInferiority,
    Rule,
    best_within,
    harmonic_mean,
    non_inferiority,
    pareto,
)

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def compare(group: Group, question: Question | None = None) -> GroupComparison:
    """Everything that is said of a group; seed and resamples are those that its cells were run with.

    Args:
        group: The cells, the reference first.
        question: What is asked of them; None = the usual question.
    """
    question = question or Question()
    if group.reference not in group.finished:
        cells = tuple(CellComparison(cell, group.name(cell)) for cell in group.cells)
        return GroupComparison(group, cells, question=question)
    return _Computation(group, question).result()


def compare_scores(group: Group, question: Question | None = None) -> GroupComparison:
    """What a headline is made of, and no more: differences in the primary metrics, how large ones would be seen, and
    the cell that answers the question."""
    if group.reference not in group.finished:
        return compare(group, question)
    computation = _Computation(group, question or Question())
    others = group.finished[1:]
    tested = computation.tested(primary_only=True) if others else {}
    compared = []
    for cell in group.cells:
        comparison = CellComparison(cell, group.name(cell), differences=tested.get(computation.id(cell), {}))
        if cell in others:
            tests = len(others) * len(computation.measured)
            comparison = replace(
                comparison,
                detectable=computation.detectable(cell, tests=tests),
                non_inferior=computation.non_inferior(cell),
            )
        compared.append(comparison)
    return GroupComparison(
        group,
        tuple(compared),
        question=computation.question,
        best=computation.best() if others else None,
        said_of=computation.samples.said_of,
        uneven=computation.uneven,
    )


class _Computation:
    """A group's samples, and what could not be computed from them, with the reason."""

    def __init__(self, group: Group, question: Question) -> None:
        self.group, self.question = group, question
        self.notes: list[str] = []
        finished = group.finished
        self.samples: Samples = from_cells(
            finished, group.measures, population=bool(group.reference.config.get("population"))
        )
        self.uneven = False
        config = group.reference.config
        self.draws: dict[str, Any] = {
            "seed": int(config.get("seed", 0)),
            "resamples": int(config.get("resamples", 10_000)),
        }
        self.reference = self.id(group.reference)
        self.primary = tuple(measure.name for measure in primary_of(group.measures))
        self.measured = tuple(name for name in self.primary if all(self.has(cell, name) for cell in finished))
        rising = {measure.name for measure in group.measures if measure.better == "higher"}
        self.traded = tuple(name for name in self.measured if name in rising)

    def id(self, cell: CellResult) -> CellId:
        """Cells go by their folders' names: two may share method and strength and still differ in a setting."""
        return CellId(cell.model, cell.name, "")

    def has(self, cell: CellResult, measure: str) -> bool:
        """Whether the measure has a mean in the cell."""
        return measure in cell.metrics and cell.metrics[measure].value is not None

    def result(self) -> GroupComparison:
        others = self.group.finished[1:]
        tested = self.tested() if others else {}
        front = self.front() if others else {}
        compared = []
        for cell in self.group.cells:
            comparison = CellComparison(cell, self.group.name(cell))
            if cell in self.group.finished:
                id = self.id(cell)
                comparison = replace(
                    comparison,
                    harmonic=self.harmonic(cell),
                    front=front.get(id),
                    differences=tested.get(id, {}),
                    price=price_of(cell),
                )
            if cell in others and self.has(cell, "accuracy") and self.has(self.group.reference, "accuracy"):
                comparison = replace(comparison, account=self.account(cell))
            if cell in others:
                tests = len(others) * len(self.measured)
                detectable = self.detectable(cell, tests=tests)
                comparison = replace(comparison, detectable=detectable, non_inferior=self.non_inferior(cell))
            compared.append(comparison)
        compared_group = GroupComparison(
            self.group,
            tuple(compared),
            question=self.question,
            dose_responses=tuple(self.dose_responses()),
            interactions=tuple(self.interactions(compared)),
            best=self.best() if others else None,
            cross_fit=self.cross_fit() if others else None,
            notes=tuple(dict.fromkeys(self.notes)),
            said_of=self.samples.said_of,
            uneven=self.uneven,
        )
        return rivals(compared_group, self.samples, self.measured, self.draws)

    def attempt(
        self, what: str, work: Callable[Arguments, Result], *arguments: Arguments.args, **settings: Arguments.kwargs
    ) -> Result | None:
        """The result of `work`, or None and a note where the samples do not allow it."""
        try:
            return work(*arguments, **settings)
        except MindgapError as error:
            self.notes.append(f"{what}: {error}")
            return None

    def tested(self, *, primary_only: bool = False) -> dict[CellId, dict[str, Tested]]:
        """Differences of every cell from the reference, by cell and measure."""
        tested: dict[CellId, dict[str, Tested]] = {}
        names = tuple(self.samples.metrics)
        same = {self.id(cell) for cell in self.group.finished[1:] if _says_the_same(cell, self.group.reference)}
        families = [
            [name for name in names if name in self.primary],
            [name for name in names if name not in self.primary],
        ]
        for family in families[:1] if primary_only else families:
            comparison = compare_cells(self.samples, self.reference, metrics=family, **self.draws)
            self.uneven |= family is families[0] and comparison.unevenness > UNEVEN
            for difference in _adjusted(comparison.differences):
                cell = difference.difference.cell
                tested.setdefault(cell, {})[difference.metric] = (
                    _no_difference(difference) if cell in same else difference
                )
        return {
            cell: {name: differences_of_cell[name] for name in names if name in differences_of_cell}
            for cell, differences_of_cell in tested.items()
        }

    def front(self) -> dict[CellId, FrontMember]:
        if len(self.traded) < 2:
            return {}
        members = self.attempt("Pareto front", pareto, self.samples, metrics=self.traded, **self.draws)
        return {member.cell: member for member in members or ()}

    def harmonic(self, cell: CellResult) -> Estimate | None:
        parts = tuple(
            measure.name
            for measure in primary_of(self.group.measures)
            if measure.better == "higher" and None not in measure.range and self.has(self.group.reference, measure.name)
        )
        if len(parts) < 2 or not all(self.has(cell, name) for name in parts):
            return None
        return harmonic_mean(self.samples, self.id(cell), parts=parts, **self.draws)

    def account(self, cell: CellResult) -> AccuracyAccount | None:
        return self.attempt(
            "account of accuracy", accuracy_account, self.samples, self.id(cell), self.reference, **self.draws
        )

    def non_inferior(self, cell: CellResult) -> NonInferiority | None:
        """Whether the cell keeps the question's limit; None where what pays was not measured."""
        paying = self.question.paying(self.group.measures)
        if paying is None or not self.has(cell, paying.name) or not self.has(self.group.reference, paying.name):
            return None
        return non_inferiority(
            self.samples, self.id(cell), self.reference, self.question.margin, metric=paying.name, **self.draws
        )

    def detectable(self, cell: CellResult, *, tests: int) -> dict[str, Detectable]:
        """By measure; those of which too few pairs exist are left out, with a note."""
        attempts = {
            name: self.attempt(
                f"power, {name}", detectable_after, self.samples, self.id(cell), self.reference, name, tests=tests
            )
            for name in self.measured
        }
        return {name: smallest for name, smallest in attempts.items() if smallest is not None}

    def rule(self) -> Rule | None:
        """Most behaviour within the question's limit; None where one of the two was not measured in every cell."""
        target, paying = behaviour_of(self.group.measures), self.question.paying(self.group.measures)
        everywhere = (
            name for name in self.samples.metrics if all(self.has(cell, name) for cell in self.group.finished)
        )
        if target is None or paying is None or not {target.name, paying.name} <= set(everywhere):
            return None
        return Rule(self.question.margin, target.name, paying.name, self.question.confidence)

    def best(self) -> Best | None:
        rule = self.rule()
        if rule is None:
            return None
        return self.attempt("best cell", best_within, self.samples, self.reference, rule, **self.draws)

    def cross_fit(self) -> CrossFit | None:
        rule = self.rule()
        if rule is None:
            return None
        return self.attempt("cross-fitted choice", cross_fit, self.samples, self.reference, rule, **self.draws)

    def dose_responses(self) -> Iterable[tuple[str, DoseResponse]]:
        """For each family that was run at two doses or more."""
        steered = [cell for cell in self.group.finished[1:] if cell.dose is not None and cell.dose > 0]
        for label in dict.fromkeys(self.group.family(cell) for cell in steered):
            members = [cell for cell in steered if self.group.family(cell) == label]
            if len({cell.dose for cell in members}) < 2:
                continue
            for name in (name for name in self.primary if all(self.has(cell, name) for cell in members)):
                response = self.attempt(
                    f"dose-response of {label}, {name}",
                    dose_response,
                    self.samples,
                    [self.id(cell) for cell in members],
                    self.reference,
                    name,
                    drop=BROKEN,
                    **self.draws,
                )
                if response is not None:
                    yield label, response

    def interactions(self, cells: Sequence[CellComparison]) -> Iterable[tuple[CellComparison, Interaction]]:
        """For each measure of each combination whose parts were run alone too."""
        for combined, *parts in combinations(self.group.finished):
            words, steering = (self.id(part) for part in parts)
            comparison = next(comparison for comparison in cells if comparison.cell is combined)
            for name in self.measured:
                beyond_sum = self.attempt(
                    f"interaction of {comparison.name}, {name}",
                    interaction,
                    self.samples,
                    self.id(combined),
                    (words, steering),
                    self.reference,
                    name,
                    **self.draws,
                )
                if beyond_sum is not None:
                    yield comparison, beyond_sum


def combinations(cells: Sequence[CellResult]) -> list[tuple[CellResult, CellResult, CellResult]]:
    """Cells that are asked for in words and steered, each with the cell that only asks and the cell that only steers.

    Read from the configurations: the same instruction, the same interventions, the same strength.
    """

    def parts(cell: CellResult) -> tuple[Any, Any]:
        method = cell.config.get("method") or {}
        asked = method.get("instruction") and (method["instruction"], method.get("instruction_in", "system"))
        return asked, method.get("interventions") or []

    triples = []
    for cell in cells:
        instruction, interventions = parts(cell)
        if not instruction or not interventions:
            continue
        asking = [other for other in cells if parts(other) == (instruction, [])]
        steering = [
            other
            for other in cells
            if parts(other) == (None, interventions) and other.config.get("strength") == cell.config.get("strength")
        ]
        if len(asking) == len(steering) == 1:
            triples.append((cell, asking[0], steering[0]))
    return triples


def _says_the_same(cell: CellResult, other: CellResult) -> bool:
    """Whether they are one and the same. Their means are known already, and tell nearly all apart."""
    if len(cell.records) != len(other.records) or cell.metrics.keys() != other.metrics.keys():
        return False
    means = [np.array([one.metrics[name].value for name in cell.metrics], dtype=float) for one in (cell, other)]
    return np.allclose(means[0], means[1], equal_nan=True) and says(cell) == says(other)


def _no_difference(tested: Tested) -> Tested:
    """No uncertainty is left where every reply and score is identical: it is the same model, steered by nothing."""
    estimate = tested.difference.estimate
    certain = Estimate(0.0, 0.0, 0.0, estimate.n, estimate.missing, "every reply and score is that of the reference")
    return replace(tested, difference=replace(tested.difference, estimate=certain))


def _adjusted(differences: Iterable[Difference]) -> list[Tested]:
    differences = list(differences)
    rates = adjust([difference.p for difference in differences], "bh")
    return [
        Tested(difference, difference.p_adjusted, rate) for difference, rate in zip(differences, rates, strict=True)
    ]
