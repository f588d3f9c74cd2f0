"""From a specification to the direction in which it asks to go, or the reason why it cannot be followed."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.core.edits import Declined
from mindgap.core.errors import ConfigError
from mindgap.steering.bench import SteeringBench
from mindgap.steering.passages import passages
from mindgap.steering.specific import Estimate, Means, Specific, bank, specific, together
from mindgap.steering.specification import Specification, parse, unknown_word

FEWEST_PASSAGES = 2


def directions(
    specifications: Sequence[str],
    count: int,
    layer: int,
    bench: SteeringBench,
    writer: SteeringBench,
    estimate: Estimate = "both",
) -> list[Specific | Declined]:
    """The direction in which each specification asks to go, or why it asks for nothing that can be done.

    Args:
        specifications: As a user words them.
        count: Passages that are written for each.
        layer: Index of the block.
        bench: The model.
        writer: On which the passages are written.
        estimate: What the direction is made of.
    """
    goals: dict[str, tuple[Specification, ...]] = {}
    declined: dict[str, str] = {}
    for text in specifications:
        try:
            goals[text] = parse(text)
        except ConfigError as reason:
            declined[text] = str(reason)
            continue
        if word := next(filter(None, (unknown_word(goal.behaviour, writer) for goal in goals[text])), None):
            declined[text] = f"Auto Steer cannot follow {text!r}: the model does not know the word {word!r}"
    behaviours = list(
        dict.fromkeys(g.behaviour for text, parts in goals.items() if text not in declined for g in parts)
    )
    written = dict(zip(behaviours, passages(behaviours, count, bench, writer), strict=True))
    made: list[Specific | Declined] = []
    others: Means | None = None
    for text in specifications:
        shown = [written[goal.behaviour] for goal in goals.get(text, ()) if text not in declined]
        if text in declined:
            made.append(Declined(declined[text]))
        elif min(map(len, shown)) < FEWEST_PASSAGES:
            made.append(Declined(f"Auto Steer cannot follow {text!r}: asked for it, the model writes nothing"))
        else:
            others = others or bank(layer, bench)
            parts = [specific(texts, others, layer, bench, estimate) for texts in shown]
            made.append(together(parts, [1 if goal.towards else -1 for goal in goals[text]]))
    return made
