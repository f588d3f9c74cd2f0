"""Writes a group's headline: the question's answer first, in a few sentences that are no surer than the numbers are."""

from __future__ import annotations

from mindgap.analysis.answer import answered
from mindgap.analysis.comparison import CellComparison, GroupComparison, primary_of
from mindgap.analysis.phrases import change, is_known, listed, loss, points, sign, worse, worse_clearly
from mindgap.analysis.phrases import interval as interval_in_words
from mindgap.analysis.phrases import named as measure_named
from mindgap.core.columns import facts
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal
from mindgap.stats.power import Detectable, design_for

Costs = tuple[Declaration, ...]


def headline(group: GroupComparison) -> str:
    """The answer in one to five sentences, and in one more each what limits it.

    A difference is only stated as one where it is clear (`Tested.clear`).
    """
    return " ".join(headline_sentences(group))


def headline_sentences(group: GroupComparison) -> list[str]:
    """The headline's sentences, the answer first."""
    sentences = _answer(group)
    if not group.others or group.reference.cell not in group.group.finished:
        return sentences
    if group.said_of:
        sentences.append(f"This is {group.said_of}.")
    if group.uneven and any(tested.clear for cell in group.others for tested in cell.differences.values()):
        sentences.append(
            "A few queries or items respond far more than the rest, and then more than 5 % of such sweeps call a "
            "difference clear that is none."
        )
    return sentences


def _answer(group: GroupComparison) -> list[str]:
    reference, others = group.reference, group.others
    if reference.cell not in group.group.finished:
        return [f"Nothing can be said: no cell finished. The first failed with: {reference.cell.reason}"]
    if not others:
        return [_alone(group)]
    target = group.behaviour
    if target is None or not any(is_known(cell, target.name) for cell in others):
        return [
            f"Whether any method changes the behaviour cannot be said: no behaviour score is known both under "
            f"{reference.name} and under another cell."
        ]
    raised = sorted(
        (cell for cell in others if sign(cell, target.name) > 0),
        key=lambda cell: change(cell, target.name),
        reverse=True,
    )
    if not raised:
        return [_nothing_clear(group, target)]
    chosen, sentences = answered(group, target, raised)
    limited = bool(sentences)
    if chosen is not None:
        sentences.append(f"It {_cost(chosen, group.costs)}.")
    best = raised[0]
    if best is not chosen:
        which = "At any price, " if limited else ""
        sentences.append(
            f"{which}{best.name} brings the most of the behaviour, {points(best.differences[target.name], target)} "
            f"over {reference.name}, and {_cost(best, group.costs)}."
        )
    free = next((cell for cell in raised if not any(worse(cell, cost) for cost in group.costs)), None)
    if free is None and len(raised) > 1:
        sentences.append("Nothing that clearly raised the behaviour did so without a sign of loss.")
    elif free is not None and free is not best and not limited:
        sentences.append(
            f"With no sign of a loss, {free.name} brings the most: {points(free.differences[target.name], target)}."
        )
    if lost := [cell for cell in others if cell not in (chosen, best) and _clear_losses(cell, group.costs)]:
        sentences.append(_lost(lost, group.costs))
    if len(raised) < len(others):
        sentences.append(f"{len(others) - len(raised)} of {len(others)} cells did not clearly raise it.")
    return sentences


def _alone(group: GroupComparison) -> str:
    only = group.reference
    scores = [
        f"{measure.name} {decimal(estimate.value, measure.digits)}"
        for measure in primary_of(group.measures)
        if (estimate := only.cell.metrics.get(measure.name)) is not None and estimate.value is not None
    ]
    said = ", ".join(scores) or "no scores"
    return f"There is one finished cell, {only.name}, and so nothing to compare it with: {said}."


def _nothing_clear(group: GroupComparison, target: Declaration) -> str:
    reference, others = group.reference, group.others
    most = max((cell for cell in others if is_known(cell, target.name)), key=lambda cell: change(cell, target.name))
    difference = most.differences[target.name]
    several = len(others) > 1
    if any(sign(cell, target.name) < 0 for cell in others):
        who = "No method raises" if several else f"{most.name} does not raise"
        text = f"{who} the behaviour over {reference.name}: "
    else:
        who = "No method can" if several else f"{most.name} cannot"
        text = f"{who} be told apart from {reference.name} by how much it raises the behaviour: "
    text += f"{'the largest change is ' if len(others) > 1 else 'the change is '}"
    text += f"{points(difference, target)}{f' ({most.name})' if len(others) > 1 else ''}."
    if sign(most, target.name) == 0 and (power := most.detectable.get(target.name)) is not None:
        text += _could_be_seen(power, target, group)
    lost = [cell for cell in others if _clear_losses(cell, group.costs)]
    return f"{text} {_lost(lost, group.costs)}" if lost else text


def _could_be_seen(power: Detectable, target: Declaration, group: GroupComparison) -> str:
    """How large a change would have been; where none that the scale allows would, how many samples it takes."""
    low, high = target.range
    if power.difference is None:
        return ""
    if low is None or high is None or power.difference <= high - low:
        return f" A true change of {decimal(power.difference, 2)} would probably have been seen."
    large = (high - low) / 4
    queries, items = (len(set(facts(group.reference.cell.records, name))) for name in ("query", "item"))
    text = f" No change that this scale allows would have been found with {queries} queries × {items} items"
    enough = design_for(power, large, queries, items)
    return f"{text}." if enough is None else f"{text}; {enough[0]} × {enough[1]} would find {decimal(large, 2)}."


def _lost(cells: list[CellComparison], costs: Costs) -> str:
    """What cells clearly lose of which no other sentence speaks."""
    if len(cells) == 1:
        return f"{cells[0].name} clearly costs {listed(_clear_losses(cells[0], costs))}."
    return f"{listed([cell.name for cell in cells])} clearly cost something."


def _clear_losses(cell: CellComparison, costs: Costs) -> list[str]:
    return [loss(cell.differences[cost.name], cost) for cost in costs if worse_clearly(cell, cost)]


def _cost(cell: CellComparison, costs: Costs) -> str:
    """What a cell clearly loses, and what of that cannot be told."""
    clear, perhaps, unseen = _clear_losses(cell, costs), [], []
    for cost in costs:
        if not is_known(cell, cost.name):
            continue
        difference = cell.differences[cost.name]
        if worse_clearly(cell, cost):
            continue
        if worse(cell, cost):
            perhaps.append(loss(difference, cost))
        elif sign(cell, cost.name) == 0:
            unseen.append(f"{measure_named(cost)} (change {interval_in_words(difference.estimate, cost)})")
    clauses = []
    if clear:
        clauses.append(f"costs {listed(clear)}")
    if perhaps:
        clauses.append(f"perhaps costs {listed(perhaps)}")
    if unseen:
        if clauses:
            clauses.append(f"no other cost can be seen in {listed(unseen)}")
        else:
            clauses.append(f"shows no cost in {listed(unseen)}")
    return ", and ".join(clauses) or "was not measured for what it costs"
