"""Shows what judges say of a group: tables, warnings of turned orders, and how to ask another judge."""

from __future__ import annotations

from collections.abc import Iterator

from mindgap.analysis.comparison import GroupComparison, JudgesCompared, Reversal
from mindgap.core.wording import decimal
from mindgap.presentation.tables import Entry, Number, Table, number
from mindgap.stats.samples import JUDGED


def judge_notices(group: GroupComparison) -> tuple[str, ...]:
    """Warnings of orders turned round, then the headline under each judge; one line where there is one judge."""
    judges = group.judges
    if judges is None:
        return ()
    if len(judges.views) == 1:
        return (single_judge_notice(judges, f"outputs/{group.group.reference.sweep}"),)
    return (*(reversal_notice(reversal) for reversal in judges.reversals), *judge_headlines(judges))


def single_judge_notice(judges: JudgesCompared, folder: str) -> str:
    """How to ask another judge of the sweep in `folder`, which has one."""
    return (
        f"Only one judge saw these responses: {judges.own}. To ask another, without generating anything: "
        f"python -m mindgap.judge {folder} judge=NAME"
    )


def reversal_notice(reversal: Reversal) -> str:
    """A warning: which cells, and what each of two judges says of them."""
    differences = []
    for judge, difference in (
        (reversal.judge, reversal.difference),
        (reversal.other, reversal.other_difference),
    ):
        shown = number(difference, 2, signed=True)
        differences.append(f"{shown.main} ({shown.interval}) under {judge}")
    return (
        f"Warning: the judge decides the order of {reversal.cell} and {reversal.other_cell} in {reversal.metric}: the "
        f"first minus the second is {' and '.join(differences)}; intervals corrected for all pairs looked at."
    )


def judge_headlines(judges: JudgesCompared) -> Iterator[str]:
    """The headline as it reads under each judge."""
    for view in judges.views:
        part = "" if view.scored == view.of else f" ({view.scored:,} of {view.of:,} samples)"
        yield f"Under {view.judge}{part}: {view.headline}"


def judge_tables(group: GroupComparison) -> tuple[Table, ...]:
    """Means by judge, agreement with the sweep's own judge, and the same query by query; none with one judge."""
    judges = group.judges
    if judges is None or len(judges.views) < 2:
        return ()
    return (_means(group, judges), _agreement(judges), _by_query(judges))


def _means(group: GroupComparison, judges: JudgesCompared) -> Table:
    columns = ["cell", *(f"{metric.capitalize()}, {view.judge}" for metric in JUDGED for view in judges.views)]
    rows: list[tuple[Entry, ...]] = []
    for comparison in group.finished:
        means = [number(view.means[comparison.cell.name][metric], 2) for metric in JUDGED for view in judges.views]
        rows.append((comparison.name, *means))
    notes = (
        "Means and 95 % intervals over the samples that each judge scored. Judges use the scale differently: compare "
        "orders and differences, not levels.",
    )
    return Table("judges-means", "Means by judge", tuple(columns), tuple(rows), notes)


def _agreement(judges: JudgesCompared) -> Table:
    columns = ("judge and metric", "Rank correlation", "Weighted kappa", "Alpha", "Alpha, ordinal")
    orders = ("Order of cells, Kendall", "Order of cells, Spearman")
    rows: list[tuple[Entry, ...]] = []
    for view in judges.views[1:]:
        for metric in JUDGED:
            agreement, order = view.agreement[metric], view.orders[metric]
            coefficients = (agreement.spearman, agreement.kappa, agreement.alpha, agreement.alpha_ordinal)
            rows.append(
                (
                    f"{view.judge}, {metric}",
                    *(number(coefficient, 2) for coefficient in coefficients),
                    _correlation(order.kendall),
                    _correlation(order.spearman),
                    Number(f"{agreement.spearman.n:,}"),
                )
            )
    notes = [
        f"Agreement with {judges.own} sample by sample: Spearman's rank correlation, kappa with quadratic weights on "
        "scores rounded to whole numbers, Krippendorff's alpha for intervals and for ranks; 95 % bootstrap intervals "
        "over queries and items. Order of cells: correlation of the cells' means, which decides what is concluded."
    ]
    if len(judges.views) > 2:
        together = [f"{metric} {_alpha(judges, metric)}" for metric in JUDGED]
        notes.append(f"Krippendorff's alpha of all {len(judges.views)} judges: {', '.join(together)}.")
    return Table(
        "judges-agreement", f"Agreement with {judges.own}", (*columns, *orders, "Samples"), tuple(rows), tuple(notes)
    )


def _alpha(judges: JudgesCompared, metric: str) -> str:
    shown = number(judges.alpha[metric], 2)
    return f"{shown.main} ({shown.interval})" if shown.interval else shown.main


def _by_query(judges: JudgesCompared) -> Table:
    others = judges.views[1:]
    columns = ["query"]
    for metric in JUDGED:
        for view in others:
            columns += [f"{metric.capitalize()}, {view.judge}: rank correlation", "kappa"]
    queries = dict.fromkeys(query for view in others for metric in JUDGED for query in view.by_query[metric])
    rows: list[tuple[Entry, ...]] = []
    for query in queries:
        row: list[Entry] = [query]
        for metric in JUDGED:
            for view in others:
                agreement = view.by_query[metric].get(query)
                row += [number(agreement.spearman, 2), number(agreement.kappa, 2)] if agreement else ["–", "–"]
        rows.append(tuple(row))
    notes = ("Within a query only items are drawn anew: intervals for other items, not for other queries.",)
    return Table("judges-queries", f"Agreement with {judges.own}, query by query", tuple(columns), tuple(rows), notes)


def _correlation(value: float | None) -> Number:
    return Number("–" if value is None else decimal(value, 2))
