"""What a group's report consists of, in reading order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mindgap.analysis.comparison import GroupComparison
from mindgap.core.wording import percent
from mindgap.presentation import figures
from mindgap.presentation.figures import Figure
from mindgap.presentation.group_tables import (
    account_table,
    bounds_table,
    differences_table,
    dose_table,
    interaction_table,
    means_table,
    missing_table,
    power_table,
    some_tables,
)
from mindgap.presentation.judge_tables import judge_notices, judge_tables
from mindgap.presentation.people_tables import TITLE as ANCHORED
from mindgap.presentation.people_tables import people_tables
from mindgap.presentation.tables import Table, number


@dataclass(frozen=True)
class Part:
    """A section: tables first, then figures, as tabs where they show the same thing of different metrics.

    notices: what must not be overlooked, in front of both.
    """

    key: str
    title: str
    lead: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    tabbed: bool = True
    notices: tuple[str, ...] = ()


def parts(group: GroupComparison, *, prefix: str) -> tuple[Part, ...]:
    """All parts that have something to show. prefix: makes keys unique in a page of several groups."""
    judge = group.group.judge
    everything = (
        Part(
            "comparison",
            "Comparison",
            f"Behaviour and coherence are scored by {judge}. The reference is {group.reference.name}.",
            (means_table(group), *some_tables(differences_table(group))),
        ),
        Part(
            "tradeoff",
            "Trade-off",
            _choice(group),
            figures=_some(
                [
                    *(figures.tradeoff(group, measure) for measure in group.shown if measure.role == "cost"),
                    figures.coherence_against_accuracy(group),
                ]
            ),
        ),
        Part(
            "account",
            "Accuracy lost",
            tables=some_tables(account_table(group)),
            figures=_some([figures.account(group)]),
        ),
        Part(
            "dose",
            "Dose",
            tables=some_tables(dose_table(group)),
            figures=_some(figures.dose_response(group, measure) for measure in group.shown),
        ),
        Part("judges", "Does the judge matter?", tables=judge_tables(group), notices=judge_notices(group)),
        Part("people", ANCHORED, tables=() if group.people is None else people_tables(group.people)),
        Part("interaction", "Sum of parts", tables=some_tables(interaction_table(group))),
        Part(
            "distributions",
            "Distributions",
            figures=_some(figures.distribution(group, one) for one in group.shown if one.range == (1, 5)),
        ),
        Part("queries", "By query", figures=_some(figures.heat_map(group, measure) for measure in group.shown)),
        Part("missing", "Missing", tables=(missing_table(group), *some_tables(bounds_table(group)))),
        Part("power", "Power", tables=some_tables(power_table(group))),
    )
    shown = [part for part in everything if part.tables or part.figures or part.notices]
    return tuple(
        replace(
            part,
            key=prefix + part.key,
            figures=tuple(replace(figure, key=prefix + figure.key) for figure in part.figures),
        )
        for part in shown
    )


def _choice(group: GroupComparison) -> str:
    """What to take if little accuracy may be lost, and what that is worth where it was not chosen."""
    best, held_out = group.best, group.cross_fit
    if best is None:
        return ""
    budget = f"{100 * best.rule.loss:.3g} points of {best.rule.budget.replace('_', ' ')} lost"
    chance = percent(best.chances[best.cell])
    gained = number(best.value, 2)
    said = (
        f"Most behaviour at no more than {budget}: {group.name(best.cell)}, mean {gained.main} ({gained.interval}); "
        f"{chance} of resamples choose it."
    )
    if held_out is not None and (gain := held_out.changes.get(best.rule.maximise)) is not None:
        change = number(gain, 2, signed=True)
        said += (
            f" Chosen on one half of the {held_out.split} and measured on the other, such a choice is worth "
            f"{change.main} over {group.reference.name} ({change.interval})."
        )
    return said


def _some(found: Iterable[Figure | None]) -> tuple[Figure, ...]:
    return tuple(figure for figure in found if figure is not None)
