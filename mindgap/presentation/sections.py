"""Puts a group's tables and figures into the sections of its report, in reading order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mindgap.analysis.answer import directly, question_in_words, settling
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
    present_tables,
)
from mindgap.presentation.judge_tables import judge_notices, judge_tables
from mindgap.presentation.people_tables import TITLE as ANCHORED
from mindgap.presentation.people_tables import people_tables
from mindgap.presentation.question_tables import pair_tables, question_table
from mindgap.presentation.spread_figures import accuracy_by_coherence, violins
from mindgap.presentation.tables import Table, number


@dataclass(frozen=True)
class Section:
    """A section of a group's report: notices first, then tables, then figures.

    Attributes:
        key: Unique in the page.
        title: For people.
        lead: What to know first; may be empty.
        tables: Shown before the figures.
        figures: Shown as tabs where `tabbed`.
        tabbed: Whether the figures show the same thing of different measures.
        notices: What must not be overlooked.
    """

    key: str
    title: str
    lead: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    tabbed: bool = True
    notices: tuple[str, ...] = ()


def sections(group: GroupComparison, *, prefix: str) -> tuple[Section, ...]:
    """All sections that have something to show.

    Args:
        group: What they show.
        prefix: Makes keys unique in a page of several groups.
    """
    judge = group.group.judge
    direct = directly(group)
    everything = (
        Section(
            "question",
            "The question",
            question_in_words(group),
            present_tables(question_table(group)),
            notices=(*([f"Words against steering: {direct}"] if direct else []), *settling(group)),
        ),
        Section(
            "comparison",
            "Comparison",
            f"Behaviour and coherence are scored by {judge}. The reference is {group.reference.name}. "
            f"Every cell: {group.group.design}.",
            (means_table(group), *present_tables(differences_table(group))),
        ),
        Section("pairs", "Every two", tables=pair_tables(group)),
        Section(
            "tradeoff",
            "Trade-off",
            _choice(group),
            figures=_present(
                [
                    *(figures.tradeoff(group, measure) for measure in group.shown if measure.role == "cost"),
                    figures.coherence_against_accuracy(group),
                    accuracy_by_coherence(group),
                ]
            ),
        ),
        Section(
            "account",
            "Accuracy lost",
            tables=present_tables(account_table(group)),
            figures=_present([figures.account(group)]),
        ),
        Section(
            "dose",
            "Dose",
            tables=present_tables(dose_table(group)),
            figures=_present(figures.dose_response(group, measure) for measure in group.shown),
        ),
        Section("judges", "Does the judge matter?", tables=judge_tables(group), notices=judge_notices(group)),
        Section("people", ANCHORED, tables=() if group.people is None else people_tables(group.people)),
        Section("interaction", "Sum of parts", tables=present_tables(interaction_table(group))),
        Section(
            "distributions",
            "Distributions",
            figures=_present(
                draw(group, measure)
                for measure in group.shown
                if measure.range == (1, 5)
                for draw in (figures.distribution, violins)
            ),
        ),
        Section("queries", "By query", figures=_present(figures.heat_map(group, measure) for measure in group.shown)),
        Section("missing", "Missing", tables=(missing_table(group), *present_tables(bounds_table(group)))),
        Section("power", "Power", tables=present_tables(power_table(group))),
    )
    shown = [section for section in everything if section.tables or section.figures or section.notices]
    return tuple(
        replace(
            section,
            key=prefix + section.key,
            figures=tuple(replace(figure, key=prefix + figure.key) for figure in section.figures),
        )
        for section in shown
    )


def _choice(group: GroupComparison) -> str:
    """What to take if little accuracy may be lost, and what that is worth where it was not chosen."""
    best, held_out = group.best, group.cross_fit
    if best is None:
        return ""
    budget = f"{100 * best.rule.loss:.3g} points of {best.rule.budget.replace('_', ' ')} lost"
    chance = percent(best.chances[best.cell])
    gained = number(best.value, 2)
    text = (
        f"Most behaviour at no more than {budget}: {group.name(best.cell)}, mean {gained.main} ({gained.interval}); "
        f"{chance} of resamples choose it, and it keeps the limit with {percent(best.keeps)} confidence."
    )
    if held_out is not None and (gain := held_out.changes.get(best.rule.maximise)) is not None:
        change = number(gain, 2, signed=True)
        text += (
            f" Chosen on one half of the {' and '.join(held_out.split)} and measured on the other, such a choice is "
            f"worth {change.main} over {group.reference.name} ({change.interval})."
        )
    return text


def _present(figures: Iterable[Figure | None]) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure is not None)
