"""Shows estimates that are anchored in people's ratings: tables for page and terminal, and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mindgap.analysis.people import AnchoredEstimate, AnchoredGroup
from mindgap.core.estimate import Estimate
from mindgap.core.wording import decimal
from mindgap.presentation.tables import Direction, Entry, Number, Table, markdown, number
from mindgap.presentation.terminal_tables import print_table
from mindgap.stats.samples import JUDGED

if TYPE_CHECKING:
    from rich.console import Console

TITLE = "Anchored in people's ratings"
METHOD = (
    "Judge corrected by people: the judge's mean over all samples, corrected by how far it is off where people rated "
    "too (prediction-powered inference, Angelopoulos et al. 2023). 95 % intervals over crossed queries and items."
)


def people_tables(group: AnchoredGroup) -> tuple[Table, ...]:
    """Agreement; then, for each judge, means and differences by people, by the judge, and by both."""
    tables = [_agreement(group)]
    for judge in group.judges:
        tables.append(_estimates(group, judge, group.means, f"Means, by people and by {judge}", signed=False))
        if group.differences:
            caption = f"Differences from {group.group.name(group.group.reference)}, by people and by {judge}"
            tables.append(_estimates(group, judge, group.differences, caption, signed=True))
    return tuple(tables)


def _agreement(group: AnchoredGroup) -> Table:
    rows: list[tuple[Entry, ...]] = []
    doubts = []
    for pair in group.agreements:
        names, agreement = f"{pair.first} and {pair.second}", pair.agreement
        coefficients = [number(estimate, 2) for estimate in (agreement.spearman, agreement.kappa, agreement.alpha)]
        rows.append((names, pair.metric, Number(str(agreement.spearman.n)), *coefficients))
        if agreement.spearman.note:
            doubts.append(f"{names}: {agreement.spearman.note}")
    raters = ", ".join(f"{name} {count}" for name, count in group.ratings.items())
    notes = [
        f"Samples rated: {raters}. Where several people rated one sample, people means their mean.",
        *dict.fromkeys(doubts),
    ]
    columns = ("who", "of", "Samples", "Rank correlation", "Weighted kappa", "Krippendorff's alpha")
    return Table("people-agreement", "Agreement with people", columns, tuple(rows), tuple(notes))


def _estimates(
    group: AnchoredGroup, judge: str, estimates: Sequence[AnchoredEstimate], caption: str, *, signed: bool
) -> Table:
    rows: list[tuple[Entry, ...]] = []
    powers: dict[str, float] = {}
    doubts = set()
    for estimate in (estimate for estimate in estimates if estimate.judge == judge):
        anchored, by_people, by_judge = estimate.estimates.anchored, estimate.estimates.people, estimate.estimates.judge
        alone = [number(mean, 2, signed=signed) for mean in (by_people, by_judge)]
        corrected = number(anchored, 2, signed=signed, direction=_direction(anchored) if signed else "")
        rows.append((estimate.cell, estimate.metric, Number(str(estimate.estimates.ratings)), *alone, corrected))
        powers.setdefault(estimate.metric, estimate.estimates.power)
        if anchored.note:
            doubts.add(f"{estimate.cell}, {estimate.metric}: {anchored.note}")
    leant = ", ".join(f"{metric} {decimal(powers[metric], 2)}" for metric in JUDGED if metric in powers)
    notes = [METHOD, f"How far the judge is leant on, 0 (not at all) to 1: {leant}.", *sorted(doubts)]
    if signed:
        notes.append("Coloured or starred: the corrected interval leaves out 0; not adjusted for the number of tests.")
    columns = ("cell", "metric", "Rated", "People alone", "Judge alone", "Judge corrected by people")
    kind = "differences" if signed else "means"
    return Table(f"people-{kind}-{group.judges.index(judge)}", caption, columns, tuple(rows), tuple(notes))


def _direction(estimate: Estimate) -> Direction:
    if estimate.low is None or estimate.high is None or estimate.low <= 0 <= estimate.high:
        return ""
    return "up" if estimate.low > 0 else "down"


def print_people_tables(console: Console, group: AnchoredGroup) -> None:
    """Print the tables on a rich `console`."""
    for table in people_tables(group):
        print_table(console, table, names=2)
        console.print()


def anchored_markdown(name: str, groups: Sequence[AnchoredGroup]) -> str:
    """All tables under their groups' titles."""
    parts = [f"# {name}: {TITLE.lower()}"]
    for group in groups:
        parts += [f"## {group.group.title}", *(markdown(table) for table in people_tables(group))]
    return "\n\n".join(part.strip() for part in parts) + "\n"
