"""The metrics of lm-evaluation-harness as measures: their names, what values mean, the value of one item."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.core.measurement import Better, Declaration, Value

RATES = frozenset({"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"})
"""Metrics of the harness' own scorers that are 0 or 1 for every item."""
PERPLEXITIES = frozenset({"perplexity", "word_perplexity", "byte_perplexity"})
"""Metrics that are exponentials of means: an item's value is the logarithm, whose mean can be taken."""
NO_FILTER = "none"
"""The harness' name of the filter that takes a reply as it is."""


def column(metric: str, filtered: str) -> str:
    """The measure's name: of the metric, and of the filter where there is one."""
    name = metric if filtered == NO_FILTER else f"{metric}_{filtered}"
    name = f"log_{name}" if metric in PERPLEXITIES else name
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def declarations_of(tasks: Sequence[Any], asked_about: str | None) -> tuple[Declaration, ...]:
    """What is measured by the harness' tasks, each metric once.

    Args:
        tasks: The harness'.
        asked_about: Name, as `column` makes it, of the one that the sweep asks about; None = the first of each task.

    Raises:
        ConfigError: There is none of that name.
    """
    made: dict[str, Declaration] = {}
    for task in tasks:
        names = [(metric, chain.name) for metric in task.aggregation() for chain in task._filters if metric != "bypass"]
        for number, (metric, filtered) in enumerate(names):
            name = column(metric, filtered)
            primary = name == asked_about if asked_about else number == 0
            if name not in made or (primary and made[name].prominence != "primary"):
                made[name] = _declaration(task, metric, filtered, primary=primary)
    if asked_about is not None and asked_about not in made:
        raise ConfigError(f"task.metric={asked_about}: the task has no such metric; it has {', '.join(made)}")
    return tuple(made.values())


def item_value(task: Any, metric: str, value: Any) -> Value:
    """An item's value of a metric: what the harness' aggregation makes of this item alone.

    For means that is the value itself. Of a perplexity it is the logarithm, in nats per token, word or byte.
    """
    try:
        if metric in PERPLEXITIES:
            total, weight = value if isinstance(value, tuple) else (value, 1)
            number = -total / weight
        elif isinstance(value, int | float):
            number = float(value)
        else:
            number = float(task.aggregation()[metric]([value]))
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        return Value(None, f"{metric} of one item cannot be told ({type(error).__name__}: {error})")
    return Value(number) if math.isfinite(number) else Value(None, f"{metric} of the item is no finite number")


def _declaration(task: Any, metric: str, filtered: str, *, primary: bool) -> Declaration:
    perplexity = metric in PERPLEXITIES
    binary = metric in RATES and not callable(task.get_config("process_results"))
    better: Better = "higher" if task.higher_is_better().get(metric, True) and not perplexity else "lower"
    label = metric if filtered == NO_FILTER else f"{metric}, {filtered}"
    return Declaration(
        column(metric, filtered),
        f"Log {label}" if perplexity else label,
        range=(0, 1) if binary else (0, None) if perplexity else (None, None),
        better=better,
        role="cost",
        prominence="primary" if primary else "shown",
        binary=binary,
        digits=3,
    )
