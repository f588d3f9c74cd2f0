"""From a group's samples to its comparison: where the report asks `mindgap.stats`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from mindgap.analysis.comparison import (
    BROKEN,
    MARGIN,
    CellComparison,
    GroupComparison,
    Tested,
    behaviour_of,
    primary_of,
)
from mindgap.analysis.samples import samples_of
from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.results.cell import CellResult
from mindgap.results.sweep import Group
from mindgap.stats.account import AccuracyAccount, Interaction, accuracy_account, interaction
from mindgap.stats.compare import Difference, compare_cells
from mindgap.stats.dose import DoseResponse, dose_response
from mindgap.stats.permutation import adjust
from mindgap.stats.power import Detectable, detectable_after
from mindgap.stats.samples import CellId, Samples
from mindgap.stats.selection import CrossFit, cross_fit
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
Given = ParamSpec("Given")


def compare(group: Group) -> GroupComparison:
    """Everything that is said of a group; seed and resamples are those that its cells were run with."""
    if group.reference not in group.finished:
        return GroupComparison(group, tuple(CellComparison(cell, group.name(cell)) for cell in group.cells))
    return _Study(group).result()


def compare_scores(group: Group) -> GroupComparison:
    """What a headline is made of, and no more: differences in the primary metrics, and how large ones would be seen."""
    if group.reference not in group.finished:
        return compare(group)
    study = _Study(group)
    others = group.finished[1:]
    tested = study.tested(primary_only=True) if others else {}
    cells = []
    for cell in group.cells:
        one = CellComparison(cell, group.name(cell), differences=tested.get(study.id(cell), {}))
        if cell in others:
            one = replace(one, detectable=study.detectable(cell, tests=len(others) * len(study.measured)))
        cells.append(one)
    return GroupComparison(group, tuple(cells))


class _Study:
    """A group's samples, and what could not be computed from them, with the reason."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.notes: list[str] = []
        finished = group.finished
        self.samples: Samples = samples_of(
            [replace(record, method=cell.name, strength="") for cell in finished for record in cell.records],
            group.measures,
        )
        config = group.reference.config
        self.draws: dict[str, Any] = {
            "seed": int(config.get("seed", 0)),
            "resamples": int(config.get("resamples", 10_000)),
        }
        self.reference = self.id(group.reference)
        self.primary = tuple(measure.name for measure in primary_of(group.measures))
        self.measured = tuple(name for name in self.primary if all(self.has(cell, name) for cell in finished))
        wanted = {measure.name for measure in group.measures if measure.better == "higher"}
        self.traded = tuple(name for name in self.measured if name in wanted)

    def id(self, cell: CellResult) -> CellId:
        """Cells go by their folders' names: two may share method and strength and still differ in a setting."""
        return CellId(cell.model, cell.name, "")

    def has(self, cell: CellResult, metric: str) -> bool:
        """Whether the cell has any value of the metric."""
        return metric in cell.metrics and cell.metrics[metric].value is not None

    def result(self) -> GroupComparison:
        others = self.group.finished[1:]
        tested = self.tested() if others else {}
        front = self.front() if others else {}
        cells = []
        for cell in self.group.cells:
            one = CellComparison(cell, self.group.name(cell))
            if cell in self.group.finished:
                id = self.id(cell)
                one = replace(one, harmonic=self.harmonic(cell), front=front.get(id), differences=tested.get(id, {}))
            if cell in others and self.has(cell, "accuracy") and self.has(self.group.reference, "accuracy"):
                one = replace(one, account=self.account(cell), non_inferior=self.non_inferior(cell))
            if cell in others:
                one = replace(one, detectable=self.detectable(cell, tests=len(others) * len(self.measured)))
            cells.append(one)
        return GroupComparison(
            self.group,
            tuple(cells),
            dose_responses=tuple(self.dose_responses()),
            interactions=tuple(self.interactions(cells)),
            best=self.best() if others else None,
            cross_fit=self.cross_fit() if others else None,
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def attempt(
        self, what: str, work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs
    ) -> Result | None:
        """The result of `work`, or None and a note where the samples do not allow it."""
        try:
            return work(*given, **named)
        except MindgapError as error:
            self.notes.append(f"{what}: {error}")
            return None

    def tested(self, *, primary_only: bool = False) -> dict[CellId, dict[str, Tested]]:
        """Differences of every cell from the reference, by cell and metric."""
        tested: dict[CellId, dict[str, Tested]] = {}
        names = tuple(self.samples.metrics)
        measured = _measured_on(self.group.reference)
        same = {self.id(cell) for cell in self.group.finished[1:] if _measured_on(cell) == measured}
        families = [[n for n in names if n in self.primary], [n for n in names if n not in self.primary]]
        for family in families[:1] if primary_only else families:
            found = compare_cells(self.samples, self.reference, metrics=family, **self.draws).differences
            for one in _adjusted(found):
                if one.difference.cell in same:
                    one = _no_difference(one)
                tested.setdefault(one.difference.cell, {})[one.metric] = one
        return {cell: {name: found[name] for name in names if name in found} for cell, found in tested.items()}

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

    def non_inferior(self, cell: CellResult) -> NonInferiority:
        return non_inferiority(self.samples, self.id(cell), self.reference, MARGIN, **self.draws)

    def detectable(self, cell: CellResult, *, tests: int) -> dict[str, Detectable]:
        """By metric; those of which too few pairs exist are left out, with a note."""
        found = {
            metric: self.attempt(
                f"power, {metric}", detectable_after, self.samples, self.id(cell), self.reference, metric, tests=tests
            )
            for metric in self.measured
        }
        return {metric: one for metric, one in found.items() if one is not None}

    def rule(self) -> Rule | None:
        """Most behaviour within a budget of the first rate that steering may cost: accuracy, where it was measured."""
        target = behaviour_of(self.group.measures)
        rates = (one for one in primary_of(self.group.measures) if one.role == "cost" and one.binary)
        budget = next(rates, None)
        if target is None or budget is None or not {target.name, budget.name} <= set(self.measured):
            return None
        return Rule(MARGIN, maximise=target.name, budget=budget.name)

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
        """For each label that was run at two doses or more."""
        steered = [cell for cell in self.group.finished[1:] if cell.dose is not None and cell.dose > 0]
        for label in dict.fromkeys(cell.label for cell in steered):
            members = [cell for cell in steered if cell.label == label]
            if len({cell.dose for cell in members}) < 2:
                continue
            for metric in (name for name in self.primary if all(self.has(cell, name) for cell in members)):
                found = self.attempt(
                    f"dose-response of {label}, {metric}",
                    dose_response,
                    self.samples,
                    [self.id(cell) for cell in members],
                    self.reference,
                    metric,
                    drop=BROKEN,
                    **self.draws,
                )
                if found is not None:
                    yield label, found

    def interactions(self, cells: Sequence[CellComparison]) -> Iterable[tuple[CellComparison, Interaction]]:
        """For each metric of each combination whose parts were run alone too."""
        for combined, *parts in combinations(self.group.finished):
            words, steering = (self.id(part) for part in parts)
            shown = next(one for one in cells if one.cell is combined)
            for metric in self.measured:
                found = self.attempt(
                    f"interaction of {shown.name}, {metric}",
                    interaction,
                    self.samples,
                    self.id(combined),
                    (words, steering),
                    self.reference,
                    metric,
                    **self.draws,
                )
                if found is not None:
                    yield shown, found


def combinations(cells: Sequence[CellResult]) -> list[tuple[CellResult, CellResult, CellResult]]:
    """Cells that are asked for in words and steered, each with the cell that does only the one and only the other.

    Read from the configurations: the same instruction, the same interventions, the same strength.
    """

    def parts(cell: CellResult) -> tuple[Any, Any]:
        method = cell.config.get("method") or {}
        return method.get("instruction"), method.get("interventions") or []

    found = []
    for cell in cells:
        instruction, interventions = parts(cell)
        if not instruction or not interventions:
            continue
        asked = [one for one in cells if parts(one) == (instruction, [])]
        steered = [
            one
            for one in cells
            if parts(one) == (None, interventions) and one.config.get("strength") == cell.config.get("strength")
        ]
        if len(asked) == len(steered) == 1:
            found.append((cell, asked[0], steered[0]))
    return found


def _measured_on(cell: CellResult) -> dict[tuple[str, str, int], tuple[object, ...]]:
    """What was generated and measured, by sample: two cells that agree in all of it are one and the same."""
    return {(r.query, r.item, r.epoch): (r.response, r.option_logprobs, r.behaviour, r.coherence) for r in cell.records}


def _no_difference(tested: Tested) -> Tested:
    """No uncertainty is left where every reply and score is identical: it is the same model, steered by nothing."""
    known = tested.difference.estimate
    certain = Estimate(0.0, 0.0, 0.0, known.n, known.missing, "every reply and score is that of the reference")
    return replace(tested, difference=replace(tested.difference, estimate=certain))


def _adjusted(differences: Iterable[Difference]) -> list[Tested]:
    differences = list(differences)
    rates = adjust([one.p for one in differences], "bh")
    return [Tested(one, one.p_adjusted, rate) for one, rate in zip(differences, rates, strict=True)]
