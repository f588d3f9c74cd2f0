"""Draws with Plotly how scores are spread and how two of them go together: violins, and accuracy within bins."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from mindgap.analysis.binned import EDGES, binned
from mindgap.analysis.comparison import GroupComparison
from mindgap.core.columns import values_of
from mindgap.core.measurement import Declaration
from mindgap.presentation.figures import REFERENCE_COLOUR, Figure, bars, by_family, layout_of, safe, spec_of, wrapped

STEPS = 81
"""Points of a violin's outline."""
HALF = 0.42
"""Half of a violin's greatest width, in rows."""


def violins(group: GroupComparison, measure: Declaration) -> Figure | None:
    """How a score from 1 to 5 is spread under each cell, with median and quartiles; None where no sample has one.

    The outline is a Gaussian kernel density (Silverman's bandwidth, a third of a point at least, since most judges give
    whole numbers), cut at the ends of the scale, every violin as wide as the others.
    """
    import plotly.graph_objects as go

    low, high = measure.range
    shown = []
    for style, members in by_family(group, list(group.finished)):
        shown += [(comparison, style, values) for comparison in members if len(values := _values(comparison, measure))]
    if not shown or low is None or high is None:
        return None
    grid = np.linspace(low, high, STEPS)
    traces: list[Any] = []
    for row, (comparison, style, values) in enumerate(shown):
        outline = _density(values, grid)
        outline = HALF * outline / outline.max()
        first, middle, third = np.percentile(values, [25, 50, 75])
        name = safe(comparison.name)
        says = f"{name}<br>median {middle:.2f}, quartiles {first:.2f} and {third:.2f}, {len(values)} samples"
        traces.append(
            go.Scatter(
                x=[*grid, *grid[::-1]],
                y=np.round([*(row - outline), *(row + outline[::-1])], 4).tolist(),
                fill="toself",
                mode="lines",
                line={"width": 1, "color": style.colour},
                opacity=0.7,
                name=name,
                text=says,
                hoverinfo="text",
                hoveron="fills",
            )
        )
        quartiles = {"x": [first, third], "y": [row, row], "mode": "lines", "hoverinfo": "skip"}
        traces.append(go.Scatter(**quartiles, line={"width": 5, "color": REFERENCE_COLOUR}))
        dot = {"color": "#ffffff", "size": 8, "line": {"color": REFERENCE_COLOUR, "width": 2}}
        traces.append(go.Scatter(x=[middle], y=[row], mode="markers", marker=dot, text=[says], hoverinfo="text"))
    layout = layout_of(
        90 + 46 * len(shown),
        xaxis={"title": measure.label, "range": [low - 0.1, high + 0.1]},
        yaxis={
            "tickvals": list(range(len(shown))),
            "ticktext": [wrapped(comparison.name) for comparison, _, _ in shown],
            "range": [len(shown) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
        },
        showlegend=False,
    )
    caption = f"Dot: median; bar: quartiles; outline: density of the scores. Judged by {group.group.judge}."
    return Figure(f"violin-{measure.name}", f"{measure.label}, violins", caption, spec_of(traces, layout))


def accuracy_by_coherence(group: GroupComparison) -> Figure | None:
    """Mean accuracy of the samples within each bin of coherence, a line a cell; None where one was not measured."""
    import plotly.graph_objects as go

    coherence = next((cost for cost in group.costs if cost.range == (1, 5)), None)
    accuracy = next((cost for cost in group.costs if cost.binary), None)
    if coherence is None or accuracy is None:
        return None
    lines = [
        (comparison, style, bins)
        for style, members in by_family(group, list(group.finished))
        for comparison in members
        if (bins := binned(comparison.cell.records, coherence, accuracy))
    ]
    if not lines:
        return None
    traces = []
    for number, (comparison, style, bins) in enumerate(lines):
        shift = 0.6 * ((number + 0.5) / len(lines) - 0.5)  # side by side, so that no bar covers another
        traces.append(
            go.Scatter(
                x=[EDGES.index(one.low) + shift for one in bins],
                y=[one.accuracy.value for one in bins],
                error_y=bars([one.accuracy for one in bins]),
                mode="lines+markers",
                marker={"size": 8, "color": style.colour, "symbol": style.symbol},
                line={"width": 1, "color": style.colour},
                customdata=[f"{one.name}: {one.accuracy.n} samples" for one in bins],
                hovertemplate="%{customdata}, %{y:.3f}",
                name=safe(comparison.name),
            )
        )
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(EDGES)]
    layout = layout_of(
        420,
        xaxis={"title": coherence.label, "tickvals": list(range(len(names))), "ticktext": names, "showgrid": False},
        yaxis={"title": accuracy.label, "range": [-0.03, 1.03]},
    )
    caption = "Samples of a cell by their coherence, with 95 % intervals; bins of fewer than five are left out."
    return Figure("accuracy-by-coherence", "Accuracy within bins of coherence", caption, spec_of(traces, layout))


def _values(comparison: Any, measure: Declaration) -> np.ndarray:
    numbers = values_of(comparison.cell.records, measure.name)
    return numbers[~np.isnan(numbers)]


def _density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A Gaussian kernel density of `values` at `grid`, up to a factor."""
    spread = float(values.std()) if len(values) > 1 else 0.0
    width = max(1 / 3, 0.9 * spread * math.pow(len(values), -0.2))
    distinct, counts = np.unique(values, return_counts=True)
    density: np.ndarray = (counts * np.exp(-0.5 * ((grid[:, None] - distinct) / width) ** 2)).sum(1)
    return density
