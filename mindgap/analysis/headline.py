"""The answer in words, from the numbers, and no surer than they are."""

from __future__ import annotations

from mindgap.analysis.comparison import CellComparison, GroupComparison, Tested
from mindgap.core.estimate import Estimate
from mindgap.core.wording import decimal

COSTS = {"coherence": "coherence", "accuracy": "accuracy"}


def headline(group: GroupComparison) -> str:
    """One to three sentences. A difference is only stated as one where it is clear (`Difference.clear`)."""
    reference, others = group.reference, group.others
    if reference.cell not in group.group.finished:
        return f"Nothing can be said: no cell finished. The first failed with: {reference.cell.reason}"
    if not others:
        return _alone(reference)
    if not any(_known(one, "behaviour") for one in others):
        return (
            f"Whether any method changes the behaviour cannot be said: no behaviour score is known both under "
            f"{reference.name} and under another cell."
        )
    raised = sorted(
        (one for one in others if _sign(one, "behaviour") > 0), key=lambda one: _value(one, "behaviour"), reverse=True
    )
    if not raised:
        return _nothing_clear(reference, others)
    best = raised[0]
    sentences = [
        f"{best.name} brings the most of the behaviour, {_points(best.differences['behaviour'])} "
        f"over {reference.name}, and {_cost(best)}."
    ]
    free = next((one for one in raised if not any(_worse(one, metric) for metric in COSTS)), None)
    if free is None and len(raised) > 1:
        sentences.append("Nothing that clearly raised the behaviour did so without a sign of loss.")
    elif free is not None and free is not best:
        sentences.append(
            f"With no sign of a loss, {free.name} brings the most: {_points(free.differences['behaviour'])}."
        )
    if len(raised) < len(others):
        sentences.append(f"{len(others) - len(raised)} of {len(others)} cells did not clearly raise it.")
    return " ".join(sentences)


def _alone(cell: CellComparison) -> str:
    told = [
        f"{name} {decimal(estimate.value, digits)}"
        for name, digits in (("behaviour", 2), ("coherence", 2), ("accuracy", 3))
        if (estimate := cell.cell.metrics.get(name)) is not None and estimate.value is not None
    ]
    return (
        f"There is one finished cell, {cell.name}, and so nothing to compare it with: {', '.join(told) or 'no scores'}."
    )


def _nothing_clear(reference: CellComparison, others: tuple[CellComparison, ...]) -> str:
    known = [one for one in others if _known(one, "behaviour")]
    most = max(known, key=lambda one: _value(one, "behaviour"))
    difference = most.differences["behaviour"]
    who = "No method can" if len(others) > 1 else f"{most.name} cannot"
    said = f"{who} be told apart from {reference.name} by how much it raises the behaviour: "
    said += f"{'the largest change is ' if len(others) > 1 else 'the change is '}"
    said += f"{_points(difference)}{f' ({most.name})' if len(others) > 1 else ''}."
    if (power := most.detectable.get("behaviour")) is not None:
        said += f" A true change of {decimal(power.difference, 2)} would probably have been seen."
    lowered = [one.name for one in others if any(_sign(one, metric) < 0 for metric in COSTS)]
    return f"{said} {_list(lowered)} clearly cost something." if lowered else said


def _cost(cell: CellComparison) -> str:
    """What a cell clearly loses, and what of that cannot be told."""
    clear, perhaps, unseen = [], [], []
    for metric, name in COSTS.items():
        if not _known(cell, metric):
            continue
        difference = cell.differences[metric]
        if _sign(cell, metric) < 0:
            clear.append(_loss(difference, name))
        elif _worse(cell, metric):
            perhaps.append(_loss(difference, name))
        elif _sign(cell, metric) == 0:
            unseen.append(f"{name} (change {_interval(difference.estimate, metric)})")
    said = []
    if clear:
        said.append(f"costs {_list(clear)}")
    if perhaps:
        said.append(f"perhaps costs {_list(perhaps)}")
    if unseen:
        said.append(f"no {'other ' if said else ''}cost can be seen in {_list(unseen)}")
    return ", and ".join(said) or "what it costs was not measured"


def _points(difference: Tested) -> str:
    estimate = difference.estimate
    assert estimate.value is not None
    value = f"{decimal(estimate.value, 2, signed=True)} points of 5"
    return f"{value} (95 % interval {_interval(estimate, difference.metric)})"


def _loss(difference: Tested, name: str) -> str:
    estimate = difference.estimate
    assert estimate.value is not None
    if difference.metric == "accuracy":
        value = f"{decimal(-100 * estimate.value, 0)} percentage points of {name}"
    else:
        value = f"{decimal(-estimate.value, 2)} points of {name}"
    turned = Estimate(-estimate.value, _minus(estimate.high), _minus(estimate.low), estimate.n)
    return f"{value} ({_interval(turned, difference.metric)})"


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _interval(estimate: Estimate, metric: str) -> str:
    if estimate.low is None or estimate.high is None:
        return "no interval"
    factor, digits, unit = (100, 0, " points") if metric == "accuracy" else (1, 2, "")
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


def _worse(cell: CellComparison, metric: str) -> bool:
    """Whether there is a sign of loss, clear or not."""
    return _known(cell, metric) and cell.differences[metric].hinted and _value(cell, metric) < 0


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
