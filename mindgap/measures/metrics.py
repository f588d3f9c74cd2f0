"""From the records of a cell to its metrics: which column, how it is counted, and its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mindgap.core.estimate import Estimate
from mindgap.core.records import Record


@dataclass(frozen=True)
class Metric:
    """value: the sample's value, None where it has none *and should have*. applies: whether it should have one.

    bounds: the values' range, None where there is no end. label: for people.
    """

    name: str
    label: str
    value: Callable[[Record], float | None]
    applies: Callable[[Record], bool] = lambda record: True
    bounds: tuple[float | None, float | None] = (None, None)
    binary: bool = False
    digits: int = 2


def _correct(record: Record) -> float | None:
    """1 or 0 over *all* replies: one that cannot be read is not correct. A failed request is missing."""
    return None if record.error else float(bool(record.correct))


def _answered(record: Record) -> float | None:
    return None if record.error else float(record.answer is not None)


def _loglik_correct(record: Record) -> float | None:
    return None if record.loglik_correct is None else float(record.loglik_correct)


def _nll(record: Record) -> float | None:
    return None if record.perplexity is None else math.log(record.perplexity)


def _was_asked(record: Record) -> bool:
    """Whether the reply had to settle on an option; of a failed request only the gold answer is known."""
    return record.correct is not None or (record.gold is not None and record.error is not None)


METRICS: tuple[Metric, ...] = (
    Metric("behaviour", "Behaviour (1-5)", lambda r: r.behaviour, bounds=(1, 5)),
    Metric("coherence", "Coherence (1-5)", lambda r: r.coherence, bounds=(1, 5)),
    Metric("accuracy", "Accuracy, all", _correct, _was_asked, (0, 1), True, 3),
    Metric(
        "accuracy_answered",
        "Accuracy, answered",
        lambda r: float(bool(r.correct)),
        lambda r: r.correct is not None and r.answer is not None,
        (0, 1),
        True,
        3,
    ),
    Metric("answered", "Answered share", _answered, _was_asked, (0, 1), True, 3),
    Metric(
        "loglik_accuracy",
        "Accuracy by log-likelihood",
        _loglik_correct,
        lambda r: bool(r.option_logprobs),
        (0, 1),
        True,
        3,
    ),
    Metric("repetition", "Repetition", lambda r: r.repetition, bounds=(0, 1), digits=3),
    Metric("distinct_2", "Distinct-2", lambda r: r.distinct_2, bounds=(0, 1), digits=3),
    Metric("words", "Words", lambda r: None if r.words is None else float(r.words), bounds=(0, None), digits=1),
    Metric("nll", "Surprise to the unsteered model (nats/token)", _nll, bounds=(0, None)),
)


def measure(records: Sequence[Record], *, seed: int, resamples: int) -> dict[str, Estimate]:
    """Every metric that applies to any of `records`, with its 95 % interval over crossed queries and items."""
    from mindgap.stats.bootstrap import crossed_mean

    estimates = {}
    for metric in METRICS:
        chosen = [record for record in records if metric.applies(record)]
        if all(record.error for record in chosen):  # also where there are none
            continue
        values = [metric.value(record) for record in chosen]
        estimates[metric.name] = crossed_mean(
            np.array([math.nan if value is None else value for value in values]),
            np.array([record.query for record in chosen]),
            np.array([record.item for record in chosen]),
            seed=seed,
            resamples=resamples,
            binary=metric.binary,
            bounds=metric.bounds,
        )
    return estimates


def count(records: Sequence[Record]) -> dict[str, int]:
    """How many samples there are, and how many lack what: no failure is silent."""
    return {
        "samples": len(records),
        "errors": sum(record.error is not None for record in records),
        "unparsed": sum(record.unparsed is not None for record in records),
        "truncated": sum(record.finish_reason == "length" for record in records),
        "behaviour_missing": sum(record.behaviour is None for record in records),
        "coherence_missing": sum(record.coherence is None for record in records),
        "perplexity_missing": sum(record.perplexity is None for record in records),
    }
