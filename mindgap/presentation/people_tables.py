"""Anchored estimates as tables, for the report, the terminal and files, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mindgap.analysis.people import AnchoredGroup, Told
from mindgap.core.estimate import Estimate, finite
from mindgap.core.wording import decimal
from mindgap.presentation.tables import Cell, Direction, Number, Table, markdown, number
from mindgap.results.rating_plan import Plan
from mindgap.stats.samples import JUDGED

if TYPE_CHECKING:
    from rich.console import Console

TITLE = "Anchored in people's ratings"
METHOD = (
    "Judge corrected by people: the judge's mean over all samples, corrected by how far it is off where people rated "
    "too (prediction-powered inference, Angelopoulos et al. 2023). 95 % intervals over crossed queries and items."
)


def people_tables(group: AnchoredGroup) -> tuple[Table, ...]:
    """Agreement; then, for each judge, means and differences told by people, by the judge, and by both."""
    made = [_agreement(group)]
    for judge in group.judges:
        made.append(_estimates(group, judge, group.means, f"Means, by people and by {judge}", signed=False))
        if group.differences:
            caption = f"Differences from {group.group.name(group.group.reference)}, by people and by {judge}"
            made.append(_estimates(group, judge, group.differences, caption, signed=True))
    return tuple(made)


def _agreement(group: AnchoredGroup) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in group.compared:
        found = one.agreement
        measures = (found.spearman, found.kappa, found.alpha)
        shown = [number(estimate, 2) for estimate in measures]
        rows.append((f"{one.one} and {one.other}", one.metric, Number(str(found.spearman.n)), *shown))
    raters = ", ".join(f"{name} {count}" for name, count in group.ratings.items())
    notes = [
        f"Samples rated: {raters}. Where several people rated one sample, people means their mean.",
        *dict.fromkeys(f"{c.one} and {c.other}: {e.note}" for c in group.compared if (e := c.agreement.spearman).note),
    ]
    columns = ("who", "of", "Samples", "Rank correlation", "Weighted kappa", "Krippendorff's alpha")
    return Table("people-agreement", "Agreement with people", columns, tuple(rows), tuple(notes))


def _estimates(group: AnchoredGroup, judge: str, told: Sequence[Told], caption: str, *, signed: bool) -> Table:
    mine = [one for one in told if one.judge == judge]
    rows: list[tuple[Cell, ...]] = []
    for one in mine:
        found = one.told
        shown = [number(estimate, 2, signed=signed) for estimate in (found.people, found.judge)]
        direction = _direction(found.anchored) if signed else ""
        corrected = number(found.anchored, 2, signed=signed, direction=direction)
        rows.append((one.cell, one.metric, Number(str(found.ratings)), *shown, corrected))
    powers = [next((one.told.power for one in mine if one.metric == metric), None) for metric in JUDGED]
    leant = ", ".join(
        f"{metric} {decimal(power, 2)}" for metric, power in zip(JUDGED, powers, strict=True) if power is not None
    )
    notes = [METHOD, f"How far the judge is leant on, 0 (not at all) to 1: {leant}."]
    notes += sorted({f"{one.cell}, {one.metric}: {one.told.anchored.note}" for one in mine if one.told.anchored.note})
    if signed:
        notes.append("Coloured or starred: the corrected interval leaves out 0; not adjusted for the number of tests.")
    columns = ("cell", "metric", "Rated", "People alone", "Judge alone", "Judge corrected by people")
    kind = "differences" if signed else "means"
    return Table(f"people-{kind}-{group.judges.index(judge)}", caption, columns, tuple(rows), tuple(notes))


def _direction(estimate: Estimate) -> Direction:
    if estimate.low is None or estimate.high is None or estimate.low <= 0 <= estimate.high:
        return ""
    return "up" if estimate.low > 0 else "down"


def print_tables(console: Console, group: AnchoredGroup) -> None:
    """The tables on a rich `console`."""
    from rich.markup import escape
    from rich.table import Table as Grid

    for table in people_tables(group):
        grid = Grid(title=escape(table.caption), title_justify="left", highlight=False)
        for place, column in enumerate(table.columns):
            grid.add_column(escape(column), justify="left" if place < 2 else "right")
        for row in table.rows:
            grid.add_row(*(escape(cell if isinstance(cell, str) else _plain(cell)) for cell in row))
        console.print(grid)
        for note in table.notes:
            console.print(note, markup=False, soft_wrap=True)
        console.print()


def _plain(cell: Number) -> str:
    return f"{cell.starred} [{cell.interval}]" if cell.interval else cell.starred


def anchored_markdown(name: str, groups: Sequence[AnchoredGroup]) -> str:
    """All tables under their groups' titles."""
    parts = [f"# {name}: {TITLE.lower()}"]
    for group in groups:
        parts += [f"## {group.group.title}", *(markdown(table) for table in people_tables(group))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def anchored_json(plan: Plan, groups: Sequence[AnchoredGroup]) -> dict[str, Any]:
    """`anchored.json`: the draw, agreement, and every estimate; null = there is none, and its note says why."""
    return {
        "draw": {
            "seed": plan.seed,
            "overlap": plan.overlap,
            "places": plan.population,
            "drawn": len(plan.drawn),
            "probability": plan.probability,
        },
        "groups": [
            {
                "title": group.group.title,
                "reference": group.group.name(group.group.reference),
                "judges": list(group.judges),
                "ratings": dict(group.ratings),
                "agreement": [_finite(asdict(one)) for one in group.compared],
                "means": [_finite(asdict(one)) for one in group.means],
                "differences": [_finite(asdict(one)) for one in group.differences],
            }
            for group in groups
        ],
    }


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    return finite(node) if isinstance(node, float) else node
