"""What a group's report consists of, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mindgap.metrics import METRICS
from mindgap.report import figures
from mindgap.report.comparison import ALPHA, CellComparison, GroupComparison, Tested
from mindgap.report.figures import Figure
from mindgap.report.tables import Cell, Direction, Number, Table, decimal, number

MAIN = ("behaviour", "coherence", "accuracy", "answered", "loglik_accuracy", "repetition")
"""Metrics of the comparison's tables; the others are in comparison.json."""
LOWER_IS_BETTER = frozenset({"repetition", "nll"})


@dataclass(frozen=True)
class Part:
    """A section: tables first, then figures, as tabs where they show the same thing of different metrics."""

    key: str
    title: str
    lead: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    tabbed: bool = True


def parts(group: GroupComparison, *, prefix: str) -> tuple[Part, ...]:
    """All parts that have something to show. prefix: makes keys unique in a page of several groups."""
    judge = group.group.judge
    everything = (
        Part(
            "comparison",
            "Comparison",
            f"Behaviour and coherence are scored by {judge}. The reference is {group.reference.name}.",
            tables(group)[:2],
        ),
        Part(
            "tradeoff",
            "Trade-off",
            _choice(group),
            figures=_some(figures.tradeoff(group, cost) for cost in ("accuracy", "coherence", "loglik_accuracy")),
        ),
        Part("account", "Where accuracy went", tables=_if(account_table(group)), figures=_some([figures.account(group)])),
        Part("dose", "Dose and response", tables=_if(dose_table(group)), figures=_each(group, figures.dose_response, MAIN)),
        Part("interaction", "More than the sum?", tables=_if(interaction_table(group))),
        Part("distributions", "Distributions", figures=_each(group, figures.distribution, ("behaviour", "coherence"))),
        Part("queries", "Query by query", figures=_each(group, figures.heat_map, MAIN)),
        Part("coherence", "Coherence and accuracy", figures=_some([figures.coherence_against_accuracy(group)])),
        Part("missing", "What is missing", tables=(missing_table(group),)),
        Part("power", "What could have been seen", tables=_if(power_table(group))),
    )
    shown = [part for part in everything if part.tables or part.figures]
    return tuple(
        replace(
            part,
            key=prefix + part.key,
            figures=tuple(replace(figure, key=prefix + figure.key) for figure in part.figures),
        )
        for part in shown
    )


def tables(group: GroupComparison) -> tuple[Table, ...]:
    """Every table of a group, means and differences first."""
    optional = (account_table(group), dose_table(group), interaction_table(group), power_table(group))
    return (means_table(group), *_if(differences_table(group)), *_if(*optional), missing_table(group))


def means_table(group: GroupComparison) -> Table:
    """Means with intervals, one row a cell."""
    metrics = [m for m in METRICS if m.name in MAIN and any(m.name in one.cell.metrics for one in group.cells)]
    harmonic = any(one.harmonic for one in group.cells)
    pareto = any(one.pareto is not None for one in group.cells)
    columns = ["cell", *(metric.label for metric in metrics)]
    columns += ["Harmonic mean"] * harmonic + ["On the front"] * pareto
    rows = []
    for one in group.cells:
        row: list[Cell] = [one.name + (" (failed)" if one.cell.status == "failed" else "")]
        row += [number(one.cell.metrics.get(metric.name), metric.digits) for metric in metrics]
        row += [number(one.harmonic, 2)] * harmonic
        row += [Number("–" if one.pareto is None else f"{one.pareto:.0%}")] * pareto
        rows.append(tuple(row))
    notes = [f"Means and 95 % intervals over crossed queries and items; judge: {group.group.judge}."]
    if pareto:
        notes.append(f"On the front: share of resamples in which no other cell beats it in {_and(group.objectives)}.")
    return Table("means", "Means", tuple(columns), tuple(rows), tuple(notes))


def differences_table(group: GroupComparison) -> Table | None:
    """Paired differences from the reference; nothing where there is nothing to compare."""
    others = group.others
    metrics = [m for m in METRICS if m.name in MAIN and any(m.name in one.differences for one in others)]
    if not metrics:
        return None
    rows = []
    for one in others:
        row: list[Cell] = [one.name]
        for metric in metrics:
            difference = one.differences.get(metric.name)
            estimate = difference.estimate if difference else None
            row.append(number(estimate, metric.digits, signed=True, direction=_direction(difference)))
        rows.append(tuple(row))
    notes = [
        f"Mean differences over the samples that both cells have (same query, item and epoch), judge: "
        f"{group.group.judge}. Bold or starred: Holm-adjusted p below {ALPHA} and an interval that leaves out 0."
    ]
    notes += _bounds(others)
    columns = ("cell", *(metric.label for metric in metrics))
    return Table("differences", f"Differences from {group.reference.name}", columns, tuple(rows), tuple(notes))


def account_table(group: GroupComparison) -> Table | None:
    """Accuracy lost, and where it went."""
    shown = [(one, one.account) for one in group.others if one.account is not None]
    if not shown:
        return None
    columns = ("cell", "Accuracy lost", "No readable answer", "Knowledge", "The rest")
    rows = tuple(
        (
            one.name,
            number(account.total, 3, signed=True),
            number(account.format, 3, signed=True),
            number(account.knowledge, 3, signed=True),
            number(account.expression, 3, signed=True),
        )
        for one, account in shown
    )
    note = (
        "Shares; a loss is positive. Knowledge: the right option is no longer the likeliest to the model itself. "
        "The rest: the answer can be read, the model knows better by log-likelihood, and it is wrong still."
    )
    return Table("account", f"Accuracy lost against {group.reference.name}", columns, rows, (note,))


def dose_table(group: GroupComparison) -> Table | None:
    """Slopes over the dose."""
    if not group.dose_responses:
        return None
    rows = tuple(
        (
            one.label,
            _label(one.metric),
            number(one.slope, 2, signed=True),
            Number("–" if one.breaking_dose is None else f"{one.breaking_dose:.2g}"),
        )
        for one in group.dose_responses
    )
    columns = ("method", "metric", "Change per unit of dose", "Breaks at dose")
    return Table("dose", "Slope over the relative dose", columns, rows, ("Dash: no such dose within those run.",))


def interaction_table(group: GroupComparison) -> Table | None:
    """Combined effects less the sum of their parts."""
    if not group.interactions:
        return None
    rows = tuple(
        (one.combined, " + ".join(one.parts), _label(one.metric), number(one.estimate, 2, signed=True))
        for one in group.interactions
    )
    columns = ("cell", "parts", "metric", "More than the sum by")
    note = "Positive: the combination does more than its parts added up; an interval around 0 says neither."
    return Table("interaction", "Combinations against the sum of their parts", columns, rows, (note,))


def power_table(group: GroupComparison) -> Table | None:
    """Smallest differences the design could have found."""
    if not group.power:
        return None
    rows = tuple((_label(one.metric), Number(decimal(one.smallest, 3))) for one in group.power)
    columns = ("metric", "Smallest difference")
    note = "A true difference of this size would be found 4 times in 5 at p < 0.05, by the variance that was measured."
    return Table("power", "Smallest difference this design could see", columns, rows, (note,))


def missing_table(group: GroupComparison) -> Table:
    """Counts of what is not there: no failure is silent."""
    named = {
        "samples": "samples",
        "errors": "failed",
        "truncated": "cut off",
        "unparsed": "answer unread",
        "behaviour_missing": "no behaviour score",
        "coherence_missing": "no coherence score",
        "perplexity_missing": "no perplexity",
    }
    rows = []
    for one in group.cells:
        counts = one.cell.counts
        rows.append((one.name, *(Number(str(counts[name]) if name in counts else "–") for name in named)))
    reasons = tuple(f"{one.name} failed: {one.cell.reason}" for one in group.cells if one.cell.status == "failed")
    return Table("missing", "Samples, and what they lack", ("cell", *named.values()), tuple(rows), reasons)


def _choice(group: GroupComparison) -> str:
    choice = group.choice
    if choice is None:
        return ""
    margin = f"{100 * choice.margin:.3g} points of accuracy"
    if choice.cell is None:
        return f"No method can be counted on to raise the behaviour at a loss of no more than {margin}."
    gain = number(choice.behaviour, 2, signed=True)
    interval = f" ({gain.interval})" if gain.interval else ""
    share = f"; {choice.share:.0%} of resamples choose it too" if choice.share is not None else ""
    return f"Most behaviour at no more than {margin} lost: {choice.cell}, {gain.main}{interval}{share}."


def _bounds(others: Iterable[CellComparison]) -> list[str]:
    """What missing scores could change, for the metrics that it concerns."""
    said = []
    for one in others:
        for difference in one.differences.values():
            lowest, highest = difference.difference.lowest, difference.difference.highest
            if difference.metric in MAIN and difference.estimate.missing and lowest is not None and highest is not None:
                digits = next(m.digits for m in METRICS if m.name == difference.metric)
                low, high = (decimal(bound, digits, signed=True) for bound in (lowest, highest))
                said.append(f"{one.name}, {difference.metric}: {difference.estimate.missing}, {low} to {high}")
    if not said:
        return []
    return ["If every missing score were the worst or the best there is (pairs left out, then bounds): " + "; ".join(said)]


def _direction(difference: Tested | None) -> Direction:
    if difference is None or not difference.clear or difference.estimate.value is None:
        return ""
    better = (difference.estimate.value > 0) != (difference.metric in LOWER_IS_BETTER)
    return "up" if better else "down"


def _each(
    group: GroupComparison, make: Callable[[GroupComparison, str], Figure | None], names: Iterable[str]
) -> tuple[Figure, ...]:
    return _some(make(group, name) for name in names)


def _some(found: Iterable[Figure | None]) -> tuple[Figure, ...]:
    return tuple(figure for figure in found if figure is not None)


def _if(*found: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in found if table is not None)


def _label(metric: str) -> str:
    return next((one.label for one in METRICS if one.name == metric), metric)


def _and(names: Iterable[str]) -> str:
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last


