"""Writes a group's headline: the answer in one to three sentences, no surer than the numbers are."""

from __future__ import annotations

from mindgap.analysis.comparison import CellComparison, GroupComparison, Tested, primary_of
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal
from mindgap.stats.power import Detectable, design_for

Costs = tuple[Declaration, ...]


def headline(group: GroupComparison) -> str:
    """The answer in one to three sentences, and in one more each what limits it.

    A difference is only stated as one where it is clear (`Difference.clear`).
    """
    answer = _answer(group)
    if not group.others or group.reference.cell not in group.group.finished:
        return answer
    if group.said_of:
        answer += f" This is {group.said_of}."
    if group.uneven and any(tested.clear for cell in group.others for tested in cell.differences.values()):
        answer += (
            " A few queries or items respond far more than the rest, and then more than 5 % of such sweeps call a "
            "difference clear that is none."
        )
    return answer


def _answer(group: GroupComparison) -> str:
    reference, others = group.reference, group.others
    if reference.cell not in group.group.finished:
        return f"Nothing can be said: no cell finished. The first failed with: {reference.cell.reason}"
    if not others:
        return _alone(group)
    target = group.behaviour
    if target is None or not any(_known(cell, target.name) for cell in others):
        return (
            f"Whether any method changes the behaviour cannot be said: no behaviour score is known both under "
            f"{reference.name} and under another cell."
        )
    raised = sorted(
        (cell for cell in others if _sign(cell, target.name) > 0),
        key=lambda cell: _value(cell, target.name),
        reverse=True,
    )
    if not raised:
        return _nothing_clear(group, target)
    best = raised[0]
    sentences = [
        f"{best.name} brings the most of the behaviour, {_points(best.differences[target.name], target)} "
        f"over {reference.name}, and {_cost(best, group.costs)}."
    ]
    free = next((cell for cell in raised if not any(_worse(cell, cost) for cost in group.costs)), None)
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
    only = group.reference
    scores = [
        f"{measure.name} {decimal(estimate.value, measure.digits)}"
        for measure in primary_of(group.measures)
        if (estimate := only.cell.metrics.get(measure.name)) is not None and estimate.value is not None
    ]
    listed = ", ".join(scores) or "no scores"
    return f"There is one finished cell, {only.name}, and so nothing to compare it with: {listed}."


def _nothing_clear(group: GroupComparison, target: Declaration) -> str:
    reference, others = group.reference, group.others
    most = max((cell for cell in others if _known(cell, target.name)), key=lambda cell: _value(cell, target.name))
    difference = most.differences[target.name]
    who = "No method can" if len(others) > 1 else f"{most.name} cannot"
    text = f"{who} be told apart from {reference.name} by how much it raises the behaviour: "
    text += f"{'the largest change is ' if len(others) > 1 else 'the change is '}"
    text += f"{_points(difference, target)}{f' ({most.name})' if len(others) > 1 else ''}."
    if (power := most.detectable.get(target.name)) is not None:
        text += _could_be_seen(power, target, group)
    lowered = [cell.name for cell in others if any(_worse_clearly(cell, cost) for cost in group.costs)]
    return f"{text} {_list(lowered)} clearly cost something." if lowered else text


def _could_be_seen(power: Detectable, target: Declaration, group: GroupComparison) -> str:
    """How large a change would have been; where none that the scale allows would, how many samples it takes."""
    low, high = target.range
    if power.difference is None:
        return ""
    if low is None or high is None or power.difference <= high - low:
        return f" A true change of {decimal(power.difference, 2)} would probably have been seen."
    records, large = group.reference.cell.records, (high - low) / 4
    queries, items = len({record.query for record in records}), len({record.item for record in records})
    text = f" No change that this scale allows would have been found with {queries} queries × {items} items"
    enough = design_for(power, large, queries, items)
    return f"{text}." if enough is None else f"{text}; {enough[0]} × {enough[1]} would find {decimal(large, 2)}."


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
    clauses = []
    if clear:
        clauses.append(f"costs {_list(clear)}")
    if perhaps:
        clauses.append(f"perhaps costs {_list(perhaps)}")
    if unseen:
        clauses.append(f"no {'other ' if clauses else ''}cost can be seen in {_list(unseen)}")
    return ", and ".join(clauses) or "what it costs was not measured"


def _points(difference: Tested, target: Declaration) -> str:
    estimate = difference.estimate
    assert estimate.value is not None
    most = target.range[1]
    unit = "" if most is None else f" points of {most:g}"
    value = f"{decimal(estimate.value, target.digits, signed=True)}{unit}"
    return f"{value} ({'no interval' if estimate.low is None else f'95 % interval {_interval(estimate, target)}'})"


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


def _known(cell: CellComparison, measure: str) -> bool:
    difference = cell.differences.get(measure)
    return difference is not None and difference.estimate.value is not None


def _value(cell: CellComparison, measure: str) -> float:
    value = cell.differences[measure].estimate.value
    assert value is not None
    return value


def _sign(cell: CellComparison, measure: str) -> int:
    """1 for clearly more than the reference, -1 for clearly less, 0 for neither."""
    if not _known(cell, measure) or not cell.differences[measure].clear:
        return 0
    return 1 if _value(cell, measure) > 0 else -1


def _worse_clearly(cell: CellComparison, cost: Declaration) -> bool:
    return _sign(cell, cost.name) == (1 if cost.better == "lower" else -1)


def _worse(cell: CellComparison, cost: Declaration) -> bool:
    """Whether there is a sign of loss, clear or not."""
    if not _known(cell, cost.name) or not cell.differences[cost.name].hinted:
        return False
    return (_value(cell, cost.name) > 0) == (cost.better == "lower")


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
