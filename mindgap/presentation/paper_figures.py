"""Draws a group's figures for a paper with matplotlib: vectors, a text column wide, safe for colour-blind readers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mindgap.analysis.binned import EDGES, Bin, binned
from mindgap.analysis.comparison import CellComparison, GroupComparison
from mindgap.analysis.summaries import means_by_query_and_cell
from mindgap.core.columns import values_of
from mindgap.core.errors import UnavailableError
from mindgap.core.measurement import Declaration
from mindgap.presentation.figures import COLOURS, REFERENCE_COLOUR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.35, 6.9
"""Widths in inches: of a column of a two-column paper, and of both."""
MARKERS = "osD^Pv*hX"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # fonts as they are, which publishers ask for, not as outlines
    "svg.hashsalt": "mindgap",  # the same samples give the same file
    "figure.facecolor": "white",
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.02,
}


def paper_figures(group: GroupComparison) -> Iterator[tuple[str, Figure]]:
    """Every figure that the group has the data for, with a name for its file.

    Violins of scores (the paper's Figures 1 and 2), heat maps of query and cell (3 and 4), accuracy within bins of
    coherence (5), and behaviour against each cost.

    Raises:
        UnavailableError: There is no matplotlib here.
    """
    named: list[tuple[str, Figure | None]] = []
    named += [(f"violin-{measure.name}", violins(group, measure)) for measure in group.shown if measure.range == (1, 5)]
    named += [(f"heat-{measure.name}", heat_map(group, measure)) for measure in group.shown]
    named += [("accuracy-by-coherence", accuracy_by_coherence(group))]
    named += [
        (f"tradeoff-{measure.name}", tradeoff(group, measure)) for measure in group.shown if measure.role == "cost"
    ]
    for name, figure in named:
        if figure is not None:
            yield name, figure


def violins(group: GroupComparison, measure: Declaration) -> Figure | None:
    """The distribution of a measure under each cell, with median and quartiles; None where no sample has a value."""
    shown = [(comparison, values) for comparison in group.finished if len(values := _values(comparison, measure))]
    if not shown:
        return None
    with _style() as plt:
        figure, axes = plt.subplots(figsize=(COLUMN, 0.55 + 0.3 * len(shown)))
        places = np.arange(len(shown))
        bodies = axes.violinplot(
            [values for _, values in shown], places, orientation="horizontal", widths=0.85, showextrema=False
        )["bodies"]
        for body, (comparison, values), place in zip(bodies, shown, places, strict=True):
            body.set(facecolor=_colour(group, comparison), alpha=0.55, linewidth=0)
            low, middle, high = np.percentile(values, [25, 50, 75])
            axes.plot([low, high], [place, place], color="black", linewidth=2.2, solid_capstyle="butt")
            axes.plot(middle, place, "o", color="white", markeredgecolor="black", markersize=3.6, markeredgewidth=0.7)
        axes.set_yticks(places, [_text(comparison.name, 30) for comparison, _ in shown])
        axes.invert_yaxis()
        axes.set_xlabel(_text(f"{measure.label} (median, quartiles)"))
        lowest, highest = measure.range
        if lowest is not None and highest is not None:
            axes.set_xlim(lowest - 0.04 * (highest - lowest), highest + 0.04 * (highest - lowest))
        axes.tick_params(axis="y", length=0)
        return _done(figure)


def heat_map(group: GroupComparison, measure: Declaration) -> Figure | None:
    """Means of a measure by query and cell; None for fewer than two queries."""
    if (found := means_by_query_and_cell(group, measure)) is None:
        return None
    shown, queries, values = found
    table = np.array(values, dtype=float)  # NaN where there is none
    if np.isnan(table).all():
        return None
    with _style() as plt:
        width = COLUMN if len(shown) <= 5 else PAGE
        names = [_text(comparison.name) for comparison in shown]  # one line each: they stand slanted
        height = 0.75 + 0.19 * len(queries) + 0.045 * max(map(len, names))
        figure, axes = plt.subplots(figsize=(width, height))
        scale = measure.range if measure.range == (1, 5) else (None, None)
        image = axes.imshow(table, cmap="cividis", aspect="auto", vmin=scale[0], vmax=scale[1])
        for (row, place), value in np.ndenumerate(table):
            if not math.isnan(value):
                dark = image.norm(value) < 0.5
                said = f"{value:.{min(measure.digits, 2)}f}"
                axes.text(place, row, said, ha="center", va="center", size=5.8, color="white" if dark else "black")
        axes.set_yticks(range(len(queries)), [_text(query.removeprefix("be "), 30) for query in queries])
        axes.set_xticks(range(len(shown)), names, rotation=60, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, location="bottom", aspect=40, pad=0.03)  # the names need the width
        bar.outline.set_visible(False)
        bar.set_label(_text(measure.label))
        return _done(figure)


def accuracy_by_coherence(group: GroupComparison) -> Figure | None:
    """Mean accuracy of the samples within each bin of coherence, a line a cell; None where one was not measured."""
    coherence = next((cost for cost in group.costs if cost.range == (1, 5)), None)
    binary = [measure for measure in group.shown if measure.binary and measure.role == "cost"]
    accuracy = next((measure for measure in binary if measure.name in group.reference.cell.metrics), None)
    if coherence is None or accuracy is None:
        return None
    lines: list[tuple[CellComparison, list[Bin]]] = [
        (comparison, bins)
        for comparison in group.finished
        if (bins := binned(comparison.cell.records, coherence, accuracy))
    ]
    if not lines:
        return None
    with _style() as plt:
        figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
        for number, (comparison, bins) in enumerate(lines):
            shift = 0.6 * ((number + 0.5) / len(lines) - 0.5)
            known = [(each, each.accuracy.value) for each in bins if each.accuracy.value is not None]
            across = [EDGES.index(each.low) + shift for each, _ in known]
            up = [value for _, value in known]
            reach = [_reach(each.accuracy.low, each.accuracy.high, value) for each, value in known]
            axes.errorbar(
                across,
                up,
                yerr=np.array(reach).T,
                fmt=MARKERS[number % len(MARKERS)] + "-",
                color=_colour(group, comparison),
                markersize=3.2,
                linewidth=0.8,
                elinewidth=0.7,
                label=_text(comparison.name, 30),
            )
        ends = list(pairwise(EDGES))
        axes.set_xticks(range(len(ends)), [f"{low:g} to {high:g}" for low, high in ends])
        axes.set(xlabel=_text(coherence.label), ylabel=_text(accuracy.label), ylim=(-0.03, 1.03))
        _legend_below(axes)
        return _done(figure)


def tradeoff(group: GroupComparison, cost: Declaration) -> Figure | None:
    """Behaviour against `cost`, a point a cell with both intervals; None where fewer than two cells have both."""
    target = group.behaviour
    if target is None:
        return None
    shown = []
    for comparison in group.finished:
        price, gain = (comparison.cell.metrics.get(measure.name) for measure in (cost, target))
        if price is not None and gain is not None and None not in (price.value, gain.value):
            shown.append((comparison, price, gain))
    if len(shown) < 2:
        return None
    with _style() as plt:
        figure, axes = plt.subplots(figsize=(COLUMN, 2.5))
        for number, (comparison, price, gain) in enumerate(shown):
            axes.errorbar(
                price.value,
                gain.value,
                xerr=np.array([_reach(price.low, price.high, price.value)]).T,
                yerr=np.array([_reach(gain.low, gain.high, gain.value)]).T,
                fmt=MARKERS[number % len(MARKERS)],
                color=_colour(group, comparison),
                markersize=4,
                elinewidth=0.7,
                label=_text(comparison.name, 30),
            )
        axes.set(xlabel=_text(cost.label), ylabel=_text(target.label))
        _legend_below(axes)
        return _done(figure)


def save(figure: Figure, path: str, kind: str) -> None:
    """Write a figure to `path` as `svg`, `pdf` or `png`; the same figure gives the same bytes."""
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with _style():
        figure.savefig(path, format=kind, dpi=300, metadata=undated)


@contextmanager
def _style() -> Iterator[Any]:
    """matplotlib, with the look of a paper and without a screen."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UnavailableError("figures for a paper need matplotlib: pip install matplotlib") from error
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Made

    class Plain:
        """What of pyplot is used here, without pyplot's list of open figures and without its screen."""

        @staticmethod
        def subplots(*, figsize: tuple[float, float]) -> tuple[Any, Any]:
            made = Made(figsize=figsize, layout="constrained")
            FigureCanvasAgg(made)
            return made, made.subplots()

    with mpl.rc_context(STYLE):
        yield Plain


def _done(figure: Figure) -> Figure:
    figure.draw_without_rendering()  # the layout is fixed with the fonts of this style
    return figure


def _legend_below(axes: Any) -> None:
    axes.figure.legend(loc="outside lower center", ncols=2, frameon=False, handletextpad=0.4, columnspacing=1.0)


def _reach(low: float | None, high: float | None, value: float | None) -> tuple[float, float]:
    if low is None or high is None or value is None:
        return 0.0, 0.0
    return max(0.0, value - low), max(0.0, high - value)


def _colour(group: GroupComparison, comparison: CellComparison) -> str:
    """Each family's own; grey for the reference."""
    if comparison is group.reference:
        return REFERENCE_COLOUR
    others = dict.fromkeys(group.group.family(other.cell) for other in group.cells if other is not group.reference)
    return COLOURS[list(others).index(group.group.family(comparison.cell)) % len(COLOURS)]


def _values(comparison: CellComparison, measure: Declaration) -> list[float]:
    numbers = values_of(comparison.cell.records, measure.name)
    there: list[float] = numbers[~np.isnan(numbers)].tolist()
    return there


def _text(text: str, width: int = 60) -> str:
    """A label on lines of at most `width` characters, in which no `$` begins a formula."""
    lines: Sequence[str] = textwrap.wrap(" ".join(text.split()), width) or [""]
    return "\n".join(lines).replace("$", r"\$")
