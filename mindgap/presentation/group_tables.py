"""Makes the tables of a group's comparison: means, differences, and what lies behind them."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.analysis.comparison import ALPHA, BROKEN, GroupComparison, Tested, primary_of
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal, percent
from mindgap.presentation.question_tables import question_table
from mindgap.presentation.tables import Direction, Entry, Number, Table, number

_VERDICTS = {"unharmed": "yes", "harmed": "no", "undecided": "cannot be told"}


def all_tables(group: GroupComparison) -> tuple[Table, ...]:
    """Every table of a group, means and differences first."""
    return (
        means_table(group),
        *present_tables(differences_table(group), question_table(group), account_table(group)),
        *present_tables(dose_table(group), interaction_table(group)),
        missing_table(group),
        *present_tables(bounds_table(group), power_table(group)),
    )


def means_table(group: GroupComparison) -> Table:
    """Means with intervals, a row for each cell."""
    measures = [m for m in group.shown if any(m.name in comparison.cell.metrics for comparison in group.cells)]
    harmonic = any(comparison.harmonic for comparison in group.cells)
    fronts = [comparison.front for comparison in group.cells if comparison.front is not None]
    columns = ["cell", *(measure.label for measure in measures)]
    columns += ["Harmonic mean (0-2)"] * harmonic + ["On the front"] * bool(fronts)
    rows = []
    for comparison in group.cells:
        row: list[Entry] = [comparison.name + (" (failed)" if comparison.cell.status == "failed" else "")]
        row += [number(comparison.cell.metrics.get(measure.name), measure.digits) for measure in measures]
        row += [number(comparison.harmonic, 2)] * harmonic
        row += [Number("–" if comparison.front is None else percent(comparison.front.probability))] * bool(fronts)
        rows.append(tuple(row))
    notes = [f"Means and 95 % intervals over crossed queries and items; judge: {group.group.judge}."]
    if fronts:
        objectives = _and(list(fronts[0].means))
        notes.append(f"On the front: share of resamples in which no other cell beats it in {objectives} together.")
    return Table("means", "Means", tuple(columns), tuple(rows), tuple(notes))


def differences_table(group: GroupComparison) -> Table | None:
    """Paired differences from the reference; nothing where there is nothing to compare."""
    measures = [m for m in group.shown if any(m.name in comparison.differences for comparison in group.others)]
    if not measures:
        return None
    rows = []
    for comparison in group.others:
        row: list[Entry] = [comparison.name]
        for measure in measures:
            row.append(difference(comparison.differences.get(measure.name), measure))
        rows.append(tuple(row))
    notes = (
        "Mean differences with 95 % intervals over the samples that both cells have (same query, item and epoch); "
        f"judge: {group.group.judge}. Coloured or starred: clearly not 0, that is, Holm-adjusted p below {ALPHA} "
        "(t over queries and items) and an interval that leaves out 0.",
    )
    columns = ("cell", *(measure.label for measure in measures))
    return Table("differences", f"Differences from {group.reference.name}", columns, tuple(rows), notes)


def account_table(group: GroupComparison) -> Table | None:
    """Accuracy lost, and where it went."""
    shown = [(comparison, comparison.account) for comparison in group.others if comparison.account is not None]
    if not shown:
        return None
    split = all(account.knowledge is not None for _, account in shown)
    columns = ["cell", "Accuracy lost", "No readable answer"]
    columns += ["Knowledge", "Expression"] if split else ["Wrong answer"]
    limited = group.paying is not None and group.paying.name == "accuracy"
    columns += [f"Loss within {100 * group.question.margin:g} points"] * limited
    rows = []
    for comparison, account in shown:
        parts = (account.knowledge, account.expression) if split else (account.wrong,)
        row: list[Entry] = [comparison.name]
        row += [number(part, 3, signed=True) for part in (account.total, account.format, *parts)]
        if limited:
            row.append(Number(_VERDICTS[comparison.non_inferior.verdict] if comparison.non_inferior else "–"))
        rows.append(tuple(row))
    note = "Shares of all samples; a loss is positive, and the parts add up to it."
    if split:
        note += (
            " Knowledge: the option that the model itself finds likeliest changed with the answer. Expression: it did "
            "not, and yet the answer changed."
        )
    return Table("account", f"Accuracy lost against {group.reference.name}", tuple(columns), tuple(rows), (note,))


def dose_table(group: GroupComparison) -> Table | None:
    """Slopes over the dose, and the dose at which coherence breaks."""
    if not group.dose_responses:
        return None
    rows = []
    for label, response in group.dose_responses:
        breaks = number(response.breaks, 2) if response.metric == "coherence" else Number("")
        if response.metric == "coherence" and response.breaks.value is None:
            breaks = Number(f"above {response.doses[-1]:g}")
        measure = group.measure(response.metric)
        rows.append((label, measure.label, number(response.slope, measure.digits, signed=True), breaks))
    columns = ("method", "metric", "Change per unit of dose", "Breaks at dose")
    note = f"Breaks: the first dose at which mean coherence lies {BROKEN:g} point below {group.reference.name}."
    over = "strength as recorded" if group.reference.cell.imported else "relative dose"
    return Table("dose", f"Slope over the {over}", columns, tuple(rows), (note,))


def interaction_table(group: GroupComparison) -> Table | None:
    """Combined effects less the sum of their parts."""
    if not group.interactions:
        return None
    rows: list[tuple[Entry, ...]] = []
    for combined, interaction in group.interactions:
        measure = group.measure(interaction.metric)
        parts = (interaction.first, interaction.second, interaction.together, interaction.estimate)
        changes = [number(part, measure.digits, signed=True) for part in parts]
        rows.append((combined.name, measure.label, *changes))
    columns = ("cell", "metric", "Words alone", "Steering alone", "Both", "More than the sum by")
    note = "Positive: both together do more than one added to the other; an interval around 0 says neither."
    return Table("interaction", "Combinations against the sum of their parts", columns, tuple(rows), (note,))


def power_table(group: GroupComparison) -> Table | None:
    """What these samples could have shown."""
    measures = [
        measure
        for measure in primary_of(group.measures)
        if any(measure.name in comparison.detectable for comparison in group.others)
    ]
    if not measures:
        return None
    rows: list[tuple[Entry, ...]] = []
    for comparison in group.others:
        smallest = [(measure.digits, comparison.detectable.get(measure.name)) for measure in measures]
        shown = [
            Number("–" if power is None or power.difference is None else decimal(power.difference, digits))
            for digits, power in smallest
        ]
        rows.append((comparison.name, *shown))
    note = (
        "A true difference from the reference of this size would have been found clear 4 times in 5, by the variance "
        "that was measured and with the correction for the number of tests."
    )
    columns = ("cell", *(measure.label for measure in measures))
    return Table("power", "Smallest difference these samples could show", columns, tuple(rows), (note,))


def bounds_table(group: GroupComparison) -> Table | None:
    """What missing scores could change."""
    shown = {measure.name: measure for measure in group.shown}
    rows: list[tuple[Entry, ...]] = []
    for comparison in group.others:
        for tested in comparison.differences.values():
            lowest, highest = tested.difference.lowest, tested.difference.highest
            if tested.metric not in shown or not tested.estimate.missing or lowest is None or highest is None:
                continue
            measure = shown[tested.metric]
            ends = [Number(decimal(end, measure.digits, signed=True)) for end in (lowest, highest)]
            left_out = Number(str(tested.estimate.missing))
            difference = number(tested.estimate, measure.digits, signed=True)
            rows.append((comparison.name, measure.label, left_out, difference, *ends))
    if not rows:
        return None
    columns = ("cell", "metric", "Pairs left out", "Difference", "All at the worst", "All at the best")
    note = "What the difference would be if every missing score were the worst, or the best, for the cell."
    return Table("bounds", "What missing scores could change", columns, tuple(rows), (note,))


def missing_table(group: GroupComparison) -> Table:
    """Counts of what is not there: no failure is silent."""
    named = {"samples": "samples", "errors": "failed", "truncated": "cut off", "unparsed": "answer unread"}
    named |= {
        f"{measure.name}_missing": f"no {measure.name.replace('_', ' ')}"
        for measure in group.measures
        if any(comparison.cell.counts.get(f"{measure.name}_missing") for comparison in group.cells)
    }
    rows: list[tuple[Entry, ...]] = []
    for comparison in group.cells:
        counts = comparison.cell.counts
        rows.append((comparison.name, *(Number(str(counts[name]) if name in counts else "–") for name in named)))
    failed = [
        f"{comparison.name} failed: {comparison.cell.reason}"
        for comparison in group.cells
        if comparison.cell.status == "failed"
    ]
    notes = (*failed, *(f"Not computed: {note}" for note in group.notes))
    return Table("missing", "Samples, and what they lack", ("cell", *named.values()), tuple(rows), notes)


def difference(tested: Tested | None, measure: Declaration) -> Number:
    """A difference from the reference as people read it, and whether it is clear; a dash where there is none."""
    estimate = None if tested is None else tested.estimate
    return number(estimate, measure.digits, signed=True, direction=_direction(tested, measure))


def _direction(difference: Tested | None, measure: Declaration) -> Direction:
    if difference is None or not difference.clear or difference.estimate.value is None or measure.better == "neither":
        return ""
    better = (difference.estimate.value > 0) != (measure.better == "lower")
    return "up" if better else "down"


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def present_tables(*tables: Table | None) -> tuple[Table, ...]:
    """Those of `tables` that have something to show."""
    return tuple(table for table in tables if table is not None)
