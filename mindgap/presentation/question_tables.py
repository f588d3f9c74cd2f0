"""Tables that answer the question: each cell against the limit and at its price; and every two cells."""

from __future__ import annotations

from mindgap.analysis.comparison import ALPHA, CellComparison, GroupComparison, Tested
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal, percent
from mindgap.presentation.tables import Direction, Entry, Number, Table, number

NONE = Number("–")


def question_table(group: GroupComparison) -> Table | None:
    """A row a cell: what it brings, whether it keeps the limit, and what a reply takes; None without a limit."""
    target, paying = group.behaviour, group.paying
    if target is None or paying is None or not group.others:
        return None
    columns = ["cell", target.label, f"Change: {paying.label}", "Keeps the limit", "Chosen"]
    prices = [
        ("Tokens read", [_whole(cell.price.read) for cell in group.finished]),
        ("Tokens written", [_whole(cell.price.written) for cell in group.finished]),
        ("Seconds a reply", [_short(cell.price.seconds) for cell in group.finished]),
        ("$ for 1,000 replies", [_dollars(cell.price.usd) for cell in group.finished]),
        ("$ to judge 1,000", [_dollars(cell.price.judge_usd) for cell in group.finished]),
    ]
    prices = [(title, entries) for title, entries in prices if any(entry is not NONE for entry in entries)]
    rows: list[tuple[Entry, ...]] = []
    for place, cell in enumerate(group.finished):
        rows.append(
            (
                cell.name,
                number(cell.cell.metrics.get(target.name), target.digits),
                _lost(cell, paying),
                NONE if cell.keeps is None else Number(percent(cell.keeps)),
                _chosen(group, cell),
                *(entries[place] for _, entries in prices),
            )
        )
    margin = f"{100 * group.question.margin:.3g} points" if paying.binary else f"{group.question.margin:.3g}"
    notes = (
        f"Keeps the limit: probability that no more than {margin} of {paying.name.replace('_', ' ')} is lost against "
        f"{group.reference.name}, as far as these samples tell. Chosen: share of resamples in which the cell brings "
        "the most of the behaviour among those that keep it. Tokens, time and price are of one reply, on average.",
    )
    titles = (*columns, *(title for title, _ in prices))
    return Table("question", "What each brings, and at which price", titles, tuple(rows), notes)


def pair_tables(group: GroupComparison) -> tuple[Table, ...]:
    """A table a primary measure: the cell of the row less the cell of the column; none for fewer than three cells."""
    if len(group.finished) < 3 or not group.pairs:
        return ()
    found = {(pair.cell.cell.name, pair.other.cell.name): pair.differences for pair in group.pairs}
    names = tuple(cell.name for cell in group.finished[:-1])
    tables = []
    for measure in group.measures:
        if not any(measure.name in differences for differences in found.values()):
            continue
        rows: list[tuple[Entry, ...]] = [
            (
                cell.name,
                *(
                    _difference(found.get((cell.cell.name, other.cell.name), {}).get(measure.name), measure)
                    for other in group.finished[:-1]
                ),
            )
            for cell in group.finished[1:]
        ]
        note = (
            "The cell of the row less that of the column, paired, with 95 % intervals. Coloured or starred: clearly "
            f"not 0, that is, p below {ALPHA} after Holm's correction for all pairs and primary measures, and an "
            "interval that leaves out 0."
        )
        tables.append(Table(f"pairs-{measure.name}", measure.label, ("cell", *names), tuple(rows), (note,)))
    return tuple(tables)


def _difference(tested: Tested | None, measure: Declaration) -> Number:
    if tested is None:
        return Number("")
    direction: Direction = ""
    if tested.clear and measure.better != "neither" and tested.estimate.value is not None:
        direction = "up" if (tested.estimate.value > 0) != (measure.better == "lower") else "down"
    return number(tested.estimate, measure.digits, signed=True, direction=direction)


def _lost(cell: CellComparison, paying: Declaration) -> Number:
    return NONE if cell.non_inferior is None else number(cell.non_inferior.estimate, paying.digits, signed=True)


def _chosen(group: GroupComparison, cell: CellComparison) -> Number:
    if group.best is None:
        return NONE
    chances = {one.method: chance for one, chance in group.best.chances.items()}
    return Number(percent(chances.get(cell.cell.name, 0.0)))


def _whole(value: float | None) -> Number:
    return NONE if value is None else Number(f"{value:.0f}")


def _short(value: float | None) -> Number:
    return NONE if value is None else Number(f"{value:.2g}")


def _dollars(value: float | None) -> Number:
    return NONE if not value else Number(decimal(1000 * value, 2))
