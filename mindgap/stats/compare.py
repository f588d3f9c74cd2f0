"""What a method changes: paired differences from the reference, with intervals, tests and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mindgap.core.errors import MindgapError
from mindgap.core.estimate import Estimate
from mindgap.stats.bootstrap import UNBOUNDED, Bounds
from mindgap.stats.samples import CellId, Samples, from_columns
from mindgap.stats.significance import Correction, Test, adjust, no_difference, unevenness

Family = Literal["sweep", "metric"]


@dataclass(frozen=True)
class Difference:
    """How one metric of a cell differs from the reference, over the samples both have.

    Attributes:
        metric: Its name.
        cell: Whose metric.
        reference: What it is compared with.
        estimate: Mean of the paired differences, cell minus reference; `missing` counts the pairs in which a value
            lacks.
        cell_mean: Of the cell over these pairs.
        reference_mean: Of the reference over these pairs.
        unpaired: Samples that only one of the two cells has, left out.
        lowest: The mean if missing values were as bad for the cell as the metric allows; None where it has no bounds.
        highest: The mean if missing values were as good for the cell as the metric allows; None where it has no bounds.
        effect: The mean in standard deviations of single samples (pooled over the two cells, so that the pairing does
            not inflate it); None where these are 0.
        p: Two-sided, of no difference; None where it cannot be tested.
        p_adjusted: `p` corrected over the family of the comparison.
        test: Which test that is, or why there is none.
    """

    metric: str
    cell: CellId
    reference: CellId
    estimate: Estimate
    cell_mean: float | None
    reference_mean: float | None
    unpaired: int
    lowest: float | None
    highest: float | None
    effect: float | None
    p: float | None
    p_adjusted: float | None
    test: str


@dataclass(frozen=True)
class PairedComparison:
    """All cells of a sweep against their reference.

    Attributes:
        differences: Of every cell and metric.
        judge: Whose scores these are.
        correction: For many comparisons.
        family: Which tests the correction counts together.
        level: Of the intervals.
        unevenness: Of the effects (`significance.unevenness`), over all differences; above `UNEVEN` the tests may claim
            more than they should.
    """

    differences: tuple[Difference, ...]
    judge: str
    correction: Correction
    family: Family
    level: float
    unevenness: float

    def of(self, cell: CellId, metric: str) -> Difference:
        """The difference of a cell in a metric.

        Raises:
            MindgapError: There is none.
        """
        for difference in self.differences:
            if difference.cell == cell and difference.metric == metric:
                return difference
        raise MindgapError(f"{metric} of {cell} is not in this comparison")


def compare_cells(
    data: Samples | Mapping[str, Any],
    reference: CellId | str = "control",
    *,
    metrics: Sequence[str] | None = None,
    correction: Correction = "holm",
    family: Family = "sweep",
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> PairedComparison:
    """Differences of every cell from the reference, for every metric, paired on (query, item, epoch).

    Args:
        data: Samples, or columns of them (see `from_columns`).
        reference: A cell, or a method that has one cell for each model; then each cell is compared with its own
            model's.
        metrics: Their names; None = all.
        correction: For many comparisons.
        family: Which tests the correction counts together: all of the sweep, or those of a metric.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.

    Raises:
        MindgapError: The reference is not there or not one, or two judges' scores would be compared.
    """
    samples = data if isinstance(data, Samples) else from_columns(data)
    names = list(samples.metrics) if metrics is None else list(metrics)
    pairs = _pairs(samples, reference)
    judge = samples.require_one_judge([cell for pair in pairs for cell in pair], names)
    differences = [
        difference(samples, cell, base, name, seed=seed, resamples=resamples, level=level)
        for cell, base in pairs
        for name in names
    ]
    uneven = unevenness([samples.change_table(cell, base, name) for cell, base in pairs for name in names])
    return PairedComparison(_corrected(differences, correction, family), judge, correction, family, level, uneven)


def difference(
    samples: Samples,
    cell: CellId,
    reference: CellId,
    metric: str,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Difference:
    """One metric of one cell against the reference; `p_adjusted` is `p`.

    Args:
        samples: Of a sweep.
        cell: Whose metric.
        reference: What it is compared with.
        metric: Its name.
        seed: Of the bootstrap.
        resamples: How many.
        level: Of the intervals.
    """
    samples.require_one_judge([cell, reference], [metric])
    values, due = samples.paired(metric, [cell, reference])
    present = samples.present[[samples.row(cell), samples.row(reference)]]
    bounds = samples.metric(metric).scale.bounds
    changes = values[0] - values[1]
    both = ~np.isnan(changes)
    missing = int((due & ~both).sum())
    estimate = samples.mean(changes, missing, bounds=spread_of(bounds), seed=seed, resamples=resamples, level=level)
    test = no_difference(samples.table(changes)) if both.any() else Test(None, "no pairs")
    lowest, highest = _if_missing(values[:, due], bounds)
    return Difference(
        metric,
        cell,
        reference,
        estimate,
        float(values[0, both].mean()) if both.any() else None,
        float(values[1, both].mean()) if both.any() else None,
        int((present[0] != present[1]).sum()),
        lowest,
        highest,
        _effect(values[:, both]),
        test.p,
        test.p,
        test.method,
    )


def spread_of(bounds: Bounds) -> Bounds:
    """Bounds of a difference of two values within `bounds`."""
    low, high = bounds
    return UNBOUNDED if low is None or high is None else (low - high, high - low)


def reference_of(samples: Samples, cell: CellId, reference: CellId | str) -> CellId:
    """The cell that `cell` is compared with.

    Args:
        samples: Of a sweep.
        cell: One of theirs.
        reference: A cell, or a method; then it is the cell of that method and of the same model.

    Raises:
        MindgapError: The reference is not there, or a method does not single one out.
    """
    if isinstance(reference, CellId):
        samples.row(reference)
        return reference
    matches = [other for other in samples.cells if other.method == reference and other.model == cell.model]
    if len(matches) != 1:
        cells = ", ".join(map(str, samples.cells))
        raise MindgapError(
            f"{len(matches)} cells have the method {reference!r} and the model {cell.model!r}: name one of {cells}"
        )
    return matches[0]


def _pairs(samples: Samples, reference: CellId | str) -> list[tuple[CellId, CellId]]:
    pairs = [(cell, reference_of(samples, cell, reference)) for cell in samples.cells]
    return [(cell, base) for cell, base in pairs if cell != base]


def _corrected(differences: list[Difference], correction: Correction, family: Family) -> tuple[Difference, ...]:
    groups = {None} if family == "sweep" else {difference.metric for difference in differences}
    result = list(differences)
    for group in groups:
        places = [place for place, difference in enumerate(differences) if group is None or difference.metric == group]
        adjusted = adjust([differences[place].p for place in places], correction)
        for place, p in zip(places, adjusted, strict=True):
            result[place] = replace(differences[place], p_adjusted=p)
    return tuple(result)


def _if_missing(values: np.ndarray, bounds: Bounds) -> tuple[float | None, float | None]:
    """Mean difference with missing values at the worst and at the best for the cell.

    Args:
        values: `[2, samples]`.
    """
    low, high = bounds
    if low is None or high is None or not values.shape[1]:
        return None, None
    filled = [np.nan_to_num(values, nan=end) for end in (low, high)]
    return float((filled[0][0] - filled[1][1]).mean()), float((filled[1][0] - filled[0][1]).mean())


def _effect(values: np.ndarray) -> float | None:
    """Mean difference over the pooled standard deviation of single samples.

    Args:
        values: `[2, pairs]`.
    """
    if values.shape[1] < 2:
        return None
    pooled = float(np.sqrt(values.var(1, ddof=1).mean()))
    return float((values[0] - values[1]).mean()) / pooled if pooled > 0 else None
