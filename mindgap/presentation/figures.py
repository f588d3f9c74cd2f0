"""Draws the figures of a group's report with Plotly, as plain JSON; page and W&B give them their own look."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from mindgap.analysis.comparison import CellComparison, GroupComparison
from mindgap.analysis.summaries import means_by_query, means_by_query_and_cell, score_counts, unbeaten
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.results.sweep import strength_name

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e08214", "#7b6fd0")
"""Paul Tol's bright scheme, and two more: told apart by colour-blind readers, on light and dark ground."""
REFERENCE_COLOUR = "#8a929c"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "pentagon")
LEVELS = ("#d7191c", "#fdae61", "#ffffbf", "#abd9e9", "#2c7bb6")
"""Scores 1 to 5: ColorBrewer's red, yellow and blue."""


@dataclass(frozen=True)
class Figure:
    """A figure, ready to be shown.

    Attributes:
        key: Unique in the page.
        title: For people.
        caption: How to read it.
        spec: Plotly's JSON, with `layout.height` set.
    """

    key: str
    title: str
    caption: str
    spec: dict[str, Any]


def tradeoff(group: GroupComparison, cost: Declaration) -> Figure | None:
    """Behaviour against `cost`, a point a cell with both intervals, and the front of what is not beaten."""
    import plotly.graph_objects as go

    target = group.behaviour
    if target is None:
        return None
    shown = [comparison for comparison in group.finished if _has(comparison, target) and _has(comparison, cost)]
    if len(shown) < 2:
        return None
    label, gain = cost.label, target.label
    less = cost.better == "lower"
    front = unbeaten(
        [
            (-_mean(comparison, cost) if less else _mean(comparison, cost), _mean(comparison, target))
            for comparison in shown
        ]
    )
    positions = cycle(("top right", "bottom right", "top left", "bottom left"))
    traces: list[Any] = [
        go.Scatter(
            x=[-x if less else x for x, _ in front],
            y=[y for _, y in front],
            mode="lines",
            line={"dash": "dot", "width": 1.5, "color": REFERENCE_COLOUR, "shape": "hv"},
            name="not beaten",
            hoverinfo="skip",
        )
    ]
    for style, members in by_family(group, shown):
        traces.append(
            go.Scatter(
                x=[_mean(comparison, cost) for comparison in members],
                y=[_mean(comparison, target) for comparison in members],
                error_x=bars([comparison.cell.metrics[cost.name] for comparison in members]),
                error_y=bars([comparison.cell.metrics[target.name] for comparison in members]),
                mode="lines+markers+text" if len(members) > 1 else "markers",
                text=_ends(members),
                textposition=next(positions) if len(members) > 1 else "top right",
                textfont={"size": 11},
                customdata=[_hover_text(comparison, (target, cost)) for comparison in members],
                hovertemplate="%{customdata}<extra></extra>",
                marker={"size": 11, "symbol": style.symbol, "color": style.colour},
                line={"width": 1, "color": style.colour},
                name=safe(group.group.family(members[0].cell)),
            )
        )
    layout = layout_of(460, xaxis={"title": label}, yaxis={"title": gain})
    caption = (
        f"Up and to the {'left' if less else 'right'} is better. Bars are 95 % intervals of each mean; those of "
        "differences from the reference, which decide, are in the table. A line joins the strengths of one method; its "
        "ends are named."
    )
    return Figure(f"tradeoff-{cost.name}", f"Behaviour against {_lower(label)}", caption, spec_of(traces, layout))


def distribution(group: GroupComparison, measure: Declaration) -> Figure | None:
    """Shares of samples at each score from 1 to 5, and of those without a score, a bar a cell."""
    import plotly.graph_objects as go

    shown = [comparison for comparison in group.finished if measure.name in comparison.cell.metrics]
    if not shown:
        return None
    counts = np.array([score_counts(comparison.cell.records, measure) for comparison in shown], float)
    shares = counts / counts.sum(1, keepdims=True)
    names = [wrapped(comparison.name) for comparison in shown]
    traces = [
        go.Bar(
            y=names,
            x=shares[:, level],
            customdata=counts[:, level],
            name=str(level + 1) if level < 5 else "missing",
            orientation="h",
            marker={"color": LEVELS[level]} if level < 5 else {"color": REFERENCE_COLOUR, "pattern": {"shape": "/"}},
            hovertemplate="%{y}: %{x:.1%} (%{customdata} samples)<extra>" + f"score {level + 1}</extra>",
        )
        for level in range(6)
        if level < 5 or counts[:, level].any()
    ]
    layout = layout_of(
        110 + 34 * len(shown),
        barmode="stack",
        xaxis={"tickformat": ".0%", "range": [0, 1], "title": "share of samples"},
        yaxis={"autorange": "reversed"},
        legend={"traceorder": "normal", "orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    label = measure.label
    caption = f"{label}, scores rounded to whole numbers; judged by {group.group.judge}."
    return Figure(f"distribution-{measure.name}", label, caption, spec_of(traces, layout))


def heat_map(group: GroupComparison, measure: Declaration) -> Figure | None:
    """Means of a measure by steering query and cell."""
    import plotly.graph_objects as go

    if (found := means_by_query_and_cell(group, measure)) is None:
        return None
    shown, queries, values = found
    bounds = measure.range if measure.range == (1, 5) else (None, None)
    trace = go.Heatmap(
        z=values,
        x=[_stacked(comparison.name, 13) for comparison in shown],
        y=[wrapped(query.removeprefix("be "), 40) for query in queries],
        texttemplate=f"%{{z:.{measure.digits}f}}",
        textfont={"size": 11},
        hovertemplate=f"%{{y}}<br>%{{x}}<br>%{{z:.{measure.digits}f}}<extra></extra>",
        colorscale="Viridis",
        zmin=bounds[0],
        zmax=bounds[1],
        xgap=1,
        ygap=1,
        colorbar={"thickness": 12, "outlinewidth": 0},
    )
    layout = layout_of(
        130 + 30 * len(queries),
        yaxis={"autorange": "reversed", "automargin": True, "showgrid": False},
        xaxis={
            "side": "top",
            "automargin": True,
            "showgrid": False,
            "type": "category",
            "tickangle": 0,
            "tickfont": {"size": 11},
        },
        showlegend=False,
        meta={"width": 320 + 96 * len(shown)},
    )
    return Figure(
        f"heat-{measure.name}", measure.label, "Means over items and epochs, by query.", spec_of([trace], layout)
    )


def coherence_against_accuracy(group: GroupComparison) -> Figure | None:
    """A point for every query under every cell: do answers break where sentences break?"""
    import plotly.graph_objects as go

    coherence = next((cost for cost in group.costs if not cost.binary), None)
    accuracy = next((cost for cost in group.costs if cost.binary), None)
    if coherence is None or accuracy is None:
        return None
    shown = [comparison for comparison in group.finished if _has(comparison, coherence) and _has(comparison, accuracy)]
    if not shown:
        return None
    traces = []
    for style, members in by_family(group, shown):
        points = []
        for comparison in members:
            across, up = (means_by_query(comparison.cell.records, cost) for cost in (coherence, accuracy))
            points += [(across[query], up[query], f"{comparison.name}: {query}") for query in across if query in up]
        traces.append(
            go.Scatter(
                x=[x for x, _, _ in points],
                y=[y for _, y, _ in points],
                text=[safe(text) for _, _, text in points],
                mode="markers",
                marker={"size": 8, "opacity": 0.75, "color": style.colour, "symbol": style.symbol},
                hovertemplate=f"%{{text}}<br>{coherence.name} %{{x:.2f}}, {accuracy.name} %{{y:.3f}}<extra></extra>",
                name=safe(group.group.family(members[0].cell)),
            )
        )
    layout = layout_of(420, xaxis={"title": coherence.label}, yaxis={"title": accuracy.label})
    caption = "One point is the mean of one query under one cell; all strengths of a method have its colour."
    return Figure("coherence-accuracy", "Coherence against accuracy", caption, spec_of(traces, layout))


RELATIVE_DOSE = "Relative dose: norm of what is added over the median norm of the residual stream there."


def dose_response(group: GroupComparison, measure: Declaration) -> Figure | None:
    """A measure over the relative dose, a line for each method that was run at two doses or more."""
    import plotly.graph_objects as go

    traces: list[Any] = []
    shown = [comparison for comparison in group.finished if _has(comparison, measure)]
    for style, members in by_family(group, shown):
        dosed = sorted(
            (comparison for comparison in members if comparison.cell.dose is not None),
            key=lambda comparison: comparison.cell.dose or 0.0,
        )
        if len({comparison.cell.dose for comparison in dosed}) < 2:
            continue
        traces.append(
            go.Scatter(
                x=[comparison.cell.dose for comparison in dosed],
                y=[_mean(comparison, measure) for comparison in dosed],
                error_y=bars([comparison.cell.metrics[measure.name] for comparison in dosed]),
                mode="lines+markers",
                marker={"size": 9, "color": style.colour, "symbol": style.symbol},
                line={"color": style.colour},
                name=safe(group.group.family(members[0].cell)),
                hovertemplate=f"dose %{{x:.3g}}: %{{y:.{measure.digits}f}}",
            )
        )
    if not traces:
        return None
    recorded = group.reference.cell.imported
    axis = "strength as recorded" if recorded else "relative dose"
    layout = layout_of(380, xaxis={"title": axis, "rangemode": "tozero"}, yaxis={"title": measure.label})
    if _has(group.reference, measure):
        layout["shapes"] = [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": _mean(group.reference, measure),
                "y1": _mean(group.reference, measure),
                "line": {"dash": "dash", "width": 1, "color": REFERENCE_COLOUR},
                "label": {"text": safe(group.reference.name), "textposition": "start", "font": {"size": 11}},
            }
        ]
    of_what = "Strengths are in the unit of the recording." if recorded else RELATIVE_DOSE
    caption = f"{of_what} Bars: 95 % intervals."
    return Figure(f"dose-{measure.name}", measure.label, caption, spec_of(traces, layout))


def account(group: GroupComparison) -> Figure | None:
    """Accuracy lost against the reference, stacked by where it went: knowledge and expression where they are known."""
    import plotly.graph_objects as go

    shown = [comparison for comparison in group.others if comparison.account is not None]
    if not shown:
        return None
    split = all(comparison.account is not None and comparison.account.knowledge is not None for comparison in shown)
    kinds = [("format", "no answer can be read", COLOURS[3])]
    kinds += [("knowledge", "the model prefers a wrong option", COLOURS[1])] if split else []
    kinds += [("expression", "it prefers the right one and says a wrong one", COLOURS[0])] if split else []
    kinds += [] if split else [("wrong", "a wrong answer", COLOURS[1])]
    traces = []
    for part, name, colour in kinds:
        estimates = [getattr(comparison.account, part) for comparison in shown]
        traces.append(
            go.Bar(
                y=[wrapped(comparison.name) for comparison in shown],
                x=[
                    None if estimate is None or estimate.value is None else 100 * estimate.value
                    for estimate in estimates
                ],
                orientation="h",
                name=name,
                marker={"color": colour},
                hovertemplate="%{y}: %{x:.1f} points<extra>" + name + "</extra>",
            )
        )
    layout = layout_of(
        130 + 34 * len(shown),
        barmode="relative",
        xaxis={"title": "percentage points lost"},
        yaxis={"autorange": "reversed"},
    )
    return Figure(
        "account",
        "Where accuracy went",
        "Left of 0: gained. The parts add up to the whole difference.",
        spec_of(traces, layout),
    )


@dataclass(frozen=True)
class _Style:
    colour: str
    symbol: str


def by_family(group: GroupComparison, shown: Sequence[CellComparison]) -> Iterable[tuple[_Style, list[CellComparison]]]:
    """Cells that differ in strength alone together, every family with the same look in every figure of the group."""
    family = group.group.family
    families = dict.fromkeys(family(comparison.cell) for comparison in group.cells if comparison is not group.reference)
    styles = {name: _Style(*look) for name, look in zip(families, zip(cycle(COLOURS), cycle(SYMBOLS)), strict=False)}
    alone = [comparison for comparison in shown if comparison is group.reference]
    if alone:
        yield _Style(REFERENCE_COLOUR, "circle-open"), alone
    for name, style in styles.items():
        members = [
            comparison for comparison in shown if family(comparison.cell) == name and comparison is not group.reference
        ]
        if members:
            yield style, members


def _has(comparison: CellComparison, measure: Declaration) -> bool:
    estimate = comparison.cell.metrics.get(measure.name)
    return estimate is not None and estimate.value is not None


def _mean(comparison: CellComparison, measure: Declaration) -> float:
    value = comparison.cell.metrics[measure.name].value
    assert value is not None
    return value


def bars(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Plotly's error bars; none where there is no interval."""

    def reach(bound: Callable[[Estimate], float | None]) -> list[float]:
        ends = [(bound(estimate), estimate.value) for estimate in estimates]
        return [0.0 if end is None or value is None else abs(end - value) for end, value in ends]

    reaches = {"array": reach(lambda estimate: estimate.high), "arrayminus": reach(lambda estimate: estimate.low)}
    return {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3, **reaches}


def _hover_text(comparison: CellComparison, measures: Iterable[Declaration]) -> str:
    """What a point says when it is pointed at."""
    lines = [f"<b>{safe(comparison.name)}</b>"]
    for measure in measures:
        estimate, digits = comparison.cell.metrics[measure.name], measure.digits
        interval = "" if estimate.low is None else f" [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
        lines.append(f"{measure.name} {estimate.value:.{digits}f}{interval}")
    if comparison.front is not None:
        lines.append(f"on the front in {comparison.front.probability:.0%} of resamples")
    return "<br>".join(lines)


def layout_of(height: int, **more: Any) -> dict[str, Any]:
    """What the figures of a report have in common, and `more`."""
    common = {
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 40, "b": 50},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
    }
    layout = {**common, **more}
    for axis in ("xaxis", "yaxis"):
        layout[axis] = {"automargin": True, **layout.get(axis, {})}
    return layout


def spec_of(traces: Sequence[Any], layout: dict[str, Any]) -> dict[str, Any]:
    """Checked by Plotly, without its default template: the page has its own."""
    import plotly.graph_objects as go

    figure: go.Figure = go.Figure(data=list(traces), layout={**layout, "template": None})
    spec: dict[str, Any] = json.loads(figure.to_json())
    spec["layout"].pop("template", None)
    return spec


def safe(text: str) -> str:
    """Plotly reads a little HTML in labels; names are to be shown as they are."""
    return html.escape(" ".join(text.split()), quote=False)


def _ends(members: Sequence[CellComparison]) -> list[str]:
    """Strengths of a line's weakest and strongest cell; names of all would stand on each other."""
    doses = [comparison.cell.dose for comparison in members]
    known = [dose for dose in doses if dose is not None]
    ends = (min(known), max(known)) if known else ()
    if len(members) < 2:
        return [""] * len(members)
    return [
        safe(strength_name(comparison.cell)) if dose is None or dose in ends else ""
        for comparison, dose in zip(members, doses, strict=True)
    ]


def _stacked(name: str, width: int) -> str:
    """A name on lines of `width`, its strength on a line of its own."""
    family, opens, strength = name.rpartition(" (")
    return f"{wrapped(family, width)}<br>{wrapped(f'({strength}', width)}" if opens else wrapped(name, width)


def wrapped(text: str, width: int = 22) -> str:
    """`text` on lines of at most `width` characters, shown as it is."""
    lines = textwrap.wrap(" ".join(text.split()), width) or [""]
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def _lower(label: str) -> str:
    return label[0].lower() + label[1:]
