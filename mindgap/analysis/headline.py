"""The answer in words, from the numbers, and no surer than they are."""

from __future__ import annotations

from mindgap.analysis.comparison import CellComparison, GroupComparison, Tested, primary_of
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal

Costs = tuple[Declaration, ...]


def headline(group: GroupComparison) -> str:
    """One to three sentences. A difference is only stated as one where it is clear (`Difference.clear`)."""
    reference, others = group.reference, group.others
    if reference.cell not in group.group.finished:
        return f"Nothing can be said: no cell finished. The first failed with: {reference.cell.reason}"
    if not others:
        return _alone(group)
    target = group.behaviour
    if target is None or not any(_known(one, target.name) for one in others):
        return (
            f"Whether any method changes the behaviour cannot be said: no behaviour score is known both under "
            f"{reference.name} and under another cell."
        )
    raised = sorted(
        (one for one in others if _sign(one, target.name) > 0), key=lambda one: _value(one, target.name), reverse=True
    )
    if not raised:
        return _nothing_clear(group, target)
    best = raised[0]
    sentences = [
        f"{best.name} brings the most of the behaviour, {_points(best.differences[target.name], target)} "
        f"over {reference.name}, and {_cost(best, group.costs)}."
    ]
    free = next((one for one in raised if not any(_worse(one, cost) for cost in group.costs)), None)
    if free is None and len(raised) > 1:
        sentences.append("Nothing that clearly raised the behaviour did so without a sign of loss.")
    elif free is not None and free is not best:
        sentences.append(
            f"With no sign of a loss, {free.name} brings the most: {_points(free.differences[target.name], target)}."
        )
    if len(raised) < len(others):
        sentences.append(f"{len(others) - len(raised)} of {len(others)} cells did not clearly raise it.")
    return " ".join(sentences)


def _alone(group: GroupComparison) -> str:
    cell = group.reference
    told = [
        f"{measure.name} {decimal(estimate.value, measure.digits)}"
        for measure in primary_of(group.measures)
        if (estimate := cell.cell.metrics.get(measure.name)) is not None and estimate.value is not None
    ]
    return (
        f"There is one finished cell, {cell.name}, and so nothing to compare it with: {', '.join(told) or 'no scores'}."
    )


def _nothing_clear(group: GroupComparison, target: Declaration) -> str:
    reference, others = group.reference, group.others
    most = max((one for one in others if _known(one, target.name)), key=lambda one: _value(one, target.name))
    difference = most.differences[target.name]
    who = "No method can" if len(others) > 1 else f"{most.name} cannot"
    said = f"{who} be told apart from {reference.name} by how much it raises the behaviour: "
    said += f"{'the largest change is ' if len(others) > 1 else 'the change is '}"
    said += f"{_points(difference, target)}{f' ({most.name})' if len(others) > 1 else ''}."
    if (power := most.detectable.get(target.name)) is not None:
        said += f" A true change of {decimal(power.difference, 2)} would probably have been seen."
    lowered = [one.name for one in others if any(_worse_clearly(one, cost) for cost in group.costs)]
    return f"{said} {_list(lowered)} clearly cost something." if lowered else said


def _cost(cell: CellComparison, costs: Costs) -> str:
    """What a cell clearly loses, and what of that cannot be told."""
    clear, perhaps, unseen = [], [], []
    for cost in costs:
        if not _known(cell, cost.name):
            continue
        difference = cell.differences[cost.name]
        if _worse_clearly(cell, cost):
            clear.append(_loss(difference, cost))
        elif _worse(cell, cost):
            perhaps.append(_loss(difference, cost))
        elif _sign(cell, cost.name) == 0:
            unseen.append(f"{_named(cost)} (change {_interval(difference.estimate, cost)})")
    said = []
    if clear:
        said.append(f"costs {_list(clear)}")
    if perhaps:
        said.append(f"perhaps costs {_list(perhaps)}")
    if unseen:
        said.append(f"no {'other ' if said else ''}cost can be seen in {_list(unseen)}")
    return ", and ".join(said) or "what it costs was not measured"


def _points(difference: Tested, target: Declaration) -> str:
    estimate = difference.estimate
    assert estimate.value is not None
    most = target.range[1]
    unit = "" if most is None else f" points of {most:g}"
    value = f"{decimal(estimate.value, target.digits, signed=True)}{unit}"
    return f"{value} (95 % interval {_interval(estimate, target)})"


def _loss(difference: Tested, cost: Declaration) -> str:
    """What is lost, as a positive number: for a cost of which less is better, what is gained."""
    estimate = difference.estimate
    assert estimate.value is not None
    turned = estimate
    if cost.better != "lower":
        turned = Estimate(-estimate.value, _minus(estimate.high), _minus(estimate.low), estimate.n)
    assert turned.value is not None
    if cost.binary:
        value = f"{decimal(100 * turned.value, 0)} percentage points of {_named(cost)}"
    else:
        value = f"{decimal(turned.value, 2)} points of {_named(cost)}"
    return f"{value} ({_interval(turned, cost)})"


def _named(measure: Declaration) -> str:
    return measure.name.replace("_", " ")


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _interval(estimate: Estimate, measure: Declaration) -> str:
    if estimate.low is None or estimate.high is None:
        return "no interval"
    factor, digits, unit = (100, 0, " points") if measure.binary else (1, 2, "")
    low, high = (decimal(factor * bound, digits) for bound in (estimate.low, estimate.high))
    return f"{low} to {high}{unit}"


def _known(cell: CellComparison, metric: str) -> bool:
    difference = cell.differences.get(metric)
    return difference is not None and difference.estimate.value is not None


def _value(cell: CellComparison, metric: str) -> float:
    value = cell.differences[metric].estimate.value
    assert value is not None
    return value


def _sign(cell: CellComparison, metric: str) -> int:
    """1 for clearly more than the reference, -1 for clearly less, 0 for neither."""
    if not _known(cell, metric) or not cell.differences[metric].clear:
        return 0
    return 1 if _value(cell, metric) > 0 else -1


def _worse_clearly(cell: CellComparison, cost: Declaration) -> bool:
    return _sign(cell, cost.name) == (1 if cost.better == "lower" else -1)


def _worse(cell: CellComparison, cost: Declaration) -> bool:
    """Whether there is a sign of loss, clear or not."""
    if not _known(cell, cost.name) or not cell.differences[cost.name].hinted:
        return False
    return (_value(cell, cost.name) > 0) == (cost.better == "lower")


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
