"""Differences and intervals in words, for sentences that are no surer than the numbers are."""

from __future__ import annotations

from mindgap.analysis.comparison import CellComparison, Tested
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal


def points(difference: Tested, target: Declaration) -> str:
    """`+1.30 points of 5 (95 % interval 1.21 to 1.39)`."""
    estimate = difference.estimate
    assert estimate.value is not None
    most = target.range[1]
    unit = "" if most is None else f" points of {most:g}"
    value = f"{decimal(estimate.value, target.digits, signed=True)}{unit}"
    known = "no interval" if estimate.low is None else f"95 % interval {interval(estimate, target)}"
    return f"{value} ({known})"


def loss(difference: Tested, cost: Declaration) -> str:
    """What is lost, as a positive number: for a cost of which less is better, what is gained."""
    estimate = difference.estimate
    assert estimate.value is not None
    turned = estimate
    if cost.better != "lower":
        turned = Estimate(-estimate.value, _minus(estimate.high), _minus(estimate.low), estimate.n)
    assert turned.value is not None
    if cost.binary:
        value = f"{decimal(100 * turned.value, 0)} percentage points of {named(cost)}"
    else:
        value = f"{decimal(turned.value, 2)} points of {named(cost)}"
    return f"{value} ({interval(turned, cost)})"


def named(measure: Declaration) -> str:
    """A measure within a sentence."""
    return measure.name.replace("_", " ")


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def interval(estimate: Estimate, measure: Declaration) -> str:
    """`0.12 to 0.40`; of a rate in points."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    factor, digits, unit = (100, 0, " points") if measure.binary else (1, 2, "")
    low, high = (decimal(factor * bound, digits) for bound in (estimate.low, estimate.high))
    return f"{low} to {high}{unit}"


def is_known(cell: CellComparison, measure: str) -> bool:
    """Whether the cell has a difference from the reference in this measure."""
    difference = cell.differences.get(measure)
    return difference is not None and difference.estimate.value is not None


def change(cell: CellComparison, measure: str) -> float:
    """The difference from the reference, where it is known."""
    value = cell.differences[measure].estimate.value
    assert value is not None
    return value


def sign(cell: CellComparison, measure: str) -> int:
    """1 for clearly more than the reference, -1 for clearly less, 0 for neither."""
    if not is_known(cell, measure) or not cell.differences[measure].clear:
        return 0
    return 1 if change(cell, measure) > 0 else -1


def worse_clearly(cell: CellComparison, cost: Declaration) -> bool:
    """Whether the cell clearly loses."""
    return sign(cell, cost.name) == (1 if cost.better == "lower" else -1)


def worse(cell: CellComparison, cost: Declaration) -> bool:
    """Whether there is a sign of loss, clear or not."""
    if not is_known(cell, cost.name) or not cell.differences[cost.name].hinted:
        return False
    return (change(cell, cost.name) > 0) == (cost.better == "lower")


def listed(words: list[str]) -> str:
    """`one, two and three`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
