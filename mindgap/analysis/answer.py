"""Answers the question that is asked of a group: which cell, how surely, at what price; words against steering; and
what would settle what is open."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.analysis.comparison import CellComparison, GroupComparison
from mindgap.analysis.phrases import interval, listed, named, points
from mindgap.analysis.price import Price
from mindgap.analysis.settle import Unsettled
from mindgap.core.measurement import Declaration
from mindgap.core.wording import decimal, duration, percent, plural


def question_in_words(group: GroupComparison) -> str:
    """The question; empty where nothing that pays was measured, and so no limit can be kept."""
    target, paying = group.behaviour, group.paying
    if target is None or paying is None or not group.others:
        return ""
    least = group.question.at_least
    enough = "" if least is None else f", and {least:g} at least,"
    return (
        f"Which method brings the most {named(target)}{enough} at no more than {_limit(group, paying)} lost against "
        f"{group.reference.name}?"
    )


def answered(
    group: GroupComparison, target: Declaration, raised: Sequence[CellComparison]
) -> tuple[CellComparison | None, list[str]]:
    """The cell that answers the question, None where none does, and the sentences that say so; none without a limit.

    Args:
        group: Compared.
        target: The behaviour.
        raised: Cells that clearly raise it, at least one.
    """
    paying, best = group.paying, group.best
    if paying is None or best is None:
        return None, []
    limit = f"Losing at most {_limit(group, paying)} against {group.reference.name}"
    chosen = group.of(best.cell)
    if chosen not in raised:
        nearest = max(raised, key=lambda cell: cell.keeps or 0.0)
        kept = "" if nearest.keeps is None else f": the nearest, {nearest.name}, does with {_chance(nearest.keeps)}"
        return None, [f"{limit}, no method that clearly raises the behaviour keeps the limit{kept}."]
    mean, least = chosen.cell.metrics[target.name], group.question.at_least
    said = f"mean {decimal(mean.value or 0.0, target.digits)} ({interval(mean, target)})"
    if least is not None and (mean.value or 0.0) < least:
        return None, [f"{limit}, no method reaches a behaviour of {least:g}: the most is {chosen.name}'s, {said}."]
    sentences = [
        f"{limit}, {chosen.name} brings the most of the behaviour: {said}, "
        f"{points(chosen.differences[target.name], target)} over {group.reference.name}."
    ]
    sure = [f"it keeps the limit with {_chance(chosen.keeps)}"] if chosen.keeps is not None else []
    sure.append(f"{percent(best.chances[best.cell])} of resamples choose it")
    if least is not None and (mean.low is None or mean.low < least):
        sure.append(f"it may lie below {least:g}")
    sentences.append(f"{_capital('; '.join(sure))}.")
    if price := price_in_words(chosen.price, group.reference.price, group.reference.name):
        sentences.append(price)
    return chosen, sentences


def directly(group: GroupComparison) -> str:
    """Words against steering; empty where the group does not have both, or no behaviour score."""
    direct, target = group.direct, group.behaviour
    if direct is None or target is None or (own := direct.differences.get(target.name)) is None:
        return ""
    if own.estimate.value is None:
        return ""
    several = sum(cell.steers and not cell.asks for cell in group.others) > 1
    which = f"{direct.cell.name}, the best of the steered cells," if several else direct.cell.name
    verb = ("brings more" if own.estimate.value > 0 else "brings less") if own.clear else "cannot be told apart"
    joined = "than" if own.clear else "from"
    text = f"{which} {verb} {joined} {direct.other.name}: {points(own, target)}"
    paid = [
        f"{named(cost)} {_change(tested.estimate.value, cost)} ({interval(tested.estimate, cost)})"
        for cost in group.costs
        if (tested := direct.differences.get(cost.name)) is not None and tested.estimate.value is not None
    ]
    return f"{text}{'; ' if paid else ''}{listed(paid) if paid else ''}."


def settling(group: GroupComparison) -> tuple[str, ...]:
    """What is open and how large a study would settle it, were the truth what was measured; a sentence each."""
    return tuple(_settling(group, one) for one in group.unsettled)


def _settling(group: GroupComparison, one: Unsettled) -> str:
    measure = group.measure(one.metric)
    if one.kind == "limit":
        what = f"Whether {one.cell} keeps the limit is open"
        distance = f"it lies {_size(one.distance, measure)} from it"
    elif one.kind == "gain":
        what = f"Whether {one.cell} brings more than {one.other} is open"
        distance = f"it lies {_size(one.distance, measure)} above"
    else:
        what = f"Whether {one.cell} or {one.other} brings more is open"
        distance = f"they lie {_size(one.distance, measure)} apart"
    if one.enough is None or one.samples is None:
        return f"{what}: {distance}, which no design of a sensible size would be likely to show."
    if not one.samples:
        return (
            f"{what}: {distance}. This many queries and items would show that 4 times in 5; others of the same number "
            "may."
        )
    cost = [f"{one.samples:,} more replies"]
    cost += [f"about {duration(one.seconds)}"] if one.seconds is not None else []
    cost += [f"${one.usd:.2f}"] if one.usd is not None else []
    queries, items = one.enough
    return (
        f"{what}: {distance}. If that is the truth, {plural(queries, 'query', 'queries')} × {plural(items, 'item')} "
        f"would show it 4 times in 5 (now {one.queries} × {one.items}; that takes {listed(cost)})."
    )


def price_in_words(price: Price, reference: Price, name: str) -> str:
    """What a reply takes, beside what one of the reference takes; empty where nothing is known."""
    parts = []
    if price.read is not None and price.written is not None:
        beside = ""
        if reference.read is not None and reference.written is not None:
            beside = f" ({name}: {reference.read:.0f} and {reference.written:.0f})"
        parts.append(f"reads {price.read:.0f} tokens and writes {price.written:.0f}{beside}")
    if price.seconds is not None:
        parts.append(f"took {price.seconds:.2g} s here")
    if price.usd is not None:
        parts.append(f"costs ${1000 * price.usd:.2f} per thousand")
    if price.judge_usd:
        parts.append(f"cost ${1000 * price.judge_usd:.2f} per thousand to judge")
    return f"A reply {listed(parts)}." if parts else ""


def _limit(group: GroupComparison, paying: Declaration) -> str:
    margin = group.question.margin
    if paying.binary:
        return f"{100 * margin:.3g} {'point' if margin == 0.01 else 'points'} of {named(paying)}"
    return f"{margin:.3g} of {named(paying)}"


def _chance(chance: float) -> str:
    return f"a probability of {percent(chance)}"


def _change(value: float, measure: Declaration) -> str:
    if measure.binary:
        return f"{decimal(100 * value, 0, signed=True)} points"
    return decimal(value, measure.digits, signed=True)


def _size(value: float, measure: Declaration) -> str:
    return f"{decimal(100 * value, 1)} points of {named(measure)}" if measure.binary else f"{decimal(value, 2)}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
