"""Accuracy by log-likelihood: whether the model itself finds the right option likeliest, whatever it writes."""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record


@dataclass(frozen=True)
class LoglikAccuracy:
    """Whether the option with the highest log-likelihood per token, under the same steering, is the right one."""

    name: str = "loglik_accuracy"
    label: str = "Accuracy by log-likelihood"
    range: Range = (0, 1)
    better: Better = "higher"
    role: Role = "cost"
    prominence: Prominence = "shown"
    binary: bool = True
    digits: int = 3

    def value(self, sample: Record) -> Value | None:
        """See `Measure.value`."""
        if sample.loglik_missing is not None and sample.gold is not None:
            return Value(None, sample.loglik_missing)
        if not sample.option_logprobs or sample.loglik_correct is None:
            return None
        return Value(float(sample.loglik_correct))
