"""The report's figures for a notebook, as Plotly figures that show themselves."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mindgap.analysis.comparison import GroupComparison
from mindgap.core.columns import applies, values_of
from mindgap.core.errors import ConfigError
from mindgap.core.measurement import Declaration

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure as PaperFigure

    from mindgap.presentation.figures import Figure

TITLE_SPACE = 90
"""Pixels above a figure, for its title and its legend."""


@dataclass(frozen=True)
class Plots:
    """Figures of a sweep. Each is Plotly's: the last line of a notebook's cell shows it, `.write_html` saves it.

    Cells that may not be compared (another model, another judge) are never in one figure: `group` says which of the
    sweep's groups is drawn, in the order of its headlines; 0 is the largest.

    Attributes:
        groups: The sweep's groups, compared.
    """

    groups: tuple[GroupComparison, ...]

    def tradeoff(self, cost: str = "coherence", group: int = 0) -> go.Figure:
        """Behaviour against what it costs: a point a cell with both intervals, and the front of what is not beaten.

        Args:
            cost: Name of a measure.
            group: Which group of cells.

        Raises:
            ConfigError: There is no such measure or group, or too little to draw.
        """
        from mindgap.presentation.figures import tradeoff

        return self._of_measure(tradeoff, cost, group)

    def distribution(self, measure: str = "behaviour", group: int = 0) -> go.Figure:
        """How a measure's values are spread, a row a cell: shares of scores and rates, boxes of anything else.

        Args:
            measure: Name of a measure.
            group: Which group of cells.

        Raises:
            ConfigError: There is no such measure or group, or too little to draw.
        """
        from mindgap.presentation.figures import distribution

        declaration = self._measure(measure, group)
        lowest, highest = declaration.range
        if lowest == 1 and highest == 5:
            return self._of_measure(distribution, measure, group)
        return _spread(self._group(group), declaration)

    def heat_map(self, measure: str = "behaviour", group: int = 0) -> go.Figure:
        """Means by steering query and cell; needs two queries.

        Args:
            measure: Name of a measure.
            group: Which group of cells.

        Raises:
            ConfigError: There is no such measure or group, or too little to draw.
        """
        from mindgap.presentation.figures import heat_map

        return self._of_measure(heat_map, measure, group)

    def dose(self, measure: str = "behaviour", group: int = 0) -> go.Figure:
        """A measure over the relative dose, a line a method that was run at two doses or more.

        Args:
            measure: Name of a measure.
            group: Which group of cells.

        Raises:
            ConfigError: There is no such measure or group, or too little to draw.
        """
        from mindgap.presentation.figures import dose_response

        return self._of_measure(dose_response, measure, group)

    def account(self, group: int = 0) -> go.Figure:
        """Where accuracy went: lost for want of a readable answer, of knowledge, or of saying what is known.

        Args:
            group: Which group of cells.

        Raises:
            ConfigError: There is no such group, or no accuracy to account for.
        """
        from mindgap.presentation.figures import account

        return self._drawn(account(self._group(group)), "account", group)

    def paper(self, group: int = 0) -> dict[str, PaperFigure]:
        """Every figure for a paper that the group has the data for, by name, drawn by matplotlib: a column wide, light.

        `sweep.plot.paper()["violin-behaviour"].savefig("figure.pdf")`. Violins of scores, heat maps of query and cell,
        accuracy within bins of coherence, behaviour against each cost; `sweep.report("pdf")` writes them all.

        Args:
            group: Which group of cells.

        Raises:
            ConfigError: There is no such group.
            UnavailableError: There is no matplotlib here.
        """
        from mindgap.presentation.paper_figures import paper_figures

        return dict(paper_figures(self._group(group)))

    def violins(self, measure: str = "behaviour", group: int = 0) -> go.Figure:
        """How a score from 1 to 5 is spread under each cell: outline, median and quartiles.

        Args:
            measure: Name of a measure.
            group: Which group of cells.

        Raises:
            ConfigError: There is no such measure or group, or it is no score from 1 to 5.
        """
        from mindgap.presentation.spread_figures import violins

        if self._measure(measure, group).range != (1, 5):
            raise ConfigError(f"violins of {measure}: it is no score from 1 to 5; distribution({measure!r}) shows it")
        return self._of_measure(violins, measure, group)

    def accuracy_by_coherence(self, group: int = 0) -> go.Figure:
        """Accuracy within bins of coherence, a line a cell: do answers break where sentences break?

        Args:
            group: Which group of cells.

        Raises:
            ConfigError: There is no such group, or too little to draw.
        """
        from mindgap.presentation.spread_figures import accuracy_by_coherence

        return self._drawn(accuracy_by_coherence(self._group(group)), "accuracy by coherence", group)

    def _group(self, group: int) -> GroupComparison:
        if not 0 <= group < len(self.groups):
            titles = "; ".join(f"{number}: {each.group.title}" for number, each in enumerate(self.groups))
            raise ConfigError(f"group={group}: there are {titles}")
        return self.groups[group]

    def _measure(self, name: str, group: int) -> Declaration:
        known = {measure.name: measure for measure in self._group(group).measures}
        if name not in known:
            raise ConfigError(f"there is no measure {name!r} in this sweep; there are {', '.join(known)}")
        return known[name]

    def _of_measure(
        self, make: Callable[[GroupComparison, Declaration], Figure | None], measure: str, group: int
    ) -> go.Figure:
        what = f"{make.__name__} of {measure}"
        return self._drawn(make(self._group(group), self._measure(measure, group)), what, group)

    def _drawn(self, figure: Figure | None, what: str, group: int) -> go.Figure:
        import plotly.graph_objects as go

        if figure is None:
            raise ConfigError(f"{what}: this sweep has too little to draw it from")
        title = figure.title
        if len(self.groups) > 1:
            title += f"<br><sup>{html.escape(self.groups[group].group.title, quote=False)}</sup>"
        return go.Figure(figure.spec).update_layout(title=title, margin_t=TITLE_SPACE)


def _spread(group: GroupComparison, measure: Declaration) -> go.Figure:
    """Values of a measure that is not a score from 1 to 5, a row a cell; says how many are missing."""
    import plotly.graph_objects as go

    values_by_cell = {}
    for comparison in group.cells:
        numbers = values_of(comparison.cell.records, measure.name)
        there: list[float] = numbers[~np.isnan(numbers)].tolist()
        if there:
            missing = int(applies(comparison.cell.records, measure.name).sum()) - len(there)
            name = html.escape(comparison.name, quote=False) + (f"<br>{missing} missing" if missing else "")
            values_by_cell[name] = there
    if not values_by_cell:
        raise ConfigError(f"distribution of {measure.name}: this sweep has too little to draw it from")
    layout: dict[str, object] = {"title": measure.label, "height": 150 + 40 * len(values_by_cell)}
    layout |= {"yaxis": {"autorange": "reversed", "automargin": True}, "margin": {"t": TITLE_SPACE}}
    if measure.binary:
        shares = [sum(values) / len(values) for values in values_by_cell.values()]
        bar = go.Bar(x=shares, y=list(values_by_cell), orientation="h")
        return go.Figure(bar, {**layout, "xaxis": {"range": [0, 1], "tickformat": ".0%", "title": "share of samples"}})
    boxes = [
        go.Box(x=values, name=name, orientation="h", boxmean=True, boxpoints="outliers")
        for name, values in values_by_cell.items()
    ]
    return go.Figure(boxes, {**layout, "showlegend": False, "xaxis": {"title": measure.label}})
