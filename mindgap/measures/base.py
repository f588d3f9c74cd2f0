"""What a measure is: settings, a declaration of what its values mean, and one verb."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Protocol

from mindgap.core.errors import ConfigError
from mindgap.core.measurement import Better, Declaration, Range, Value
from mindgap.core.records import UNASKED, Record


class Measure(Protocol):
    """A measure's settings and its verb (`conf/measures/*.yaml`).

    Of what `Declaration` holds, `name`, `range` and `better` must be there, as fields or properties; `label`, `role`,
    `prominence`, `binary` and `digits` may be.
    """

    @property
    def name(self) -> str:
        """Column of samples.parquet and name of the metric."""

    @property
    def range(self) -> Range:
        """Lowest and highest value there can be; None where there is no end."""

    @property
    def better(self) -> Better:
        """Which way is good."""

    def value(self, sample: Record) -> Value | None:
        """What is measured on one sample, its other measures aside.

        Returns:
            A value, or missing with the reason; None where the measure does not apply, so that nothing is missing.
        """


def declared(measure: Measure) -> Declaration:
    """What a measure says of itself. Raises ConfigError where that makes no sense."""
    path = f"measures.{measure.name}"
    optional = {
        field.name: getattr(measure, field.name)
        for field in fields(Declaration)
        if field.name not in ("name", "label", "range", "better") and hasattr(measure, field.name)
    }
    label = getattr(measure, "label", "") or measure.name.replace("_", " ").capitalize()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", measure.name) or measure.name.endswith("_missing"):
        raise ConfigError(
            f"measures: {measure.name!r} cannot be a measure's name: small letters, digits and underscores, not ending "
            "in _missing, for example `hedging`"
        )
    low, high = measure.range
    if low is not None and high is not None and low >= high:
        raise ConfigError(f"{path}.range=[{low}, {high}]: give the lowest value first; null where there is no end")
    if measure.better not in ("higher", "lower", "neither"):
        raise ConfigError(f"{path}.better={measure.better!r}: choose higher, lower or neither")
    return Declaration(measure.name, label, (low, high), measure.better, **optional)


def measured(records: Iterable[Record], measures: Sequence[Measure]) -> list[Record]:
    """The records with the values of `measures`, and no others."""
    return [replace(record, measures=_values(record, measures)) for record in records]


def text_missing(sample: Record) -> Value | None:
    """For measures of the reply's text: missing with the reason where there is no reply; None where there is one."""
    return None if sample.no_reply is None else Value(None, sample.no_reply)


def _values(record: Record, measures: Sequence[Measure]) -> dict[str, Value]:
    values = {measure.name: _value(record, measure) for measure in measures}
    return {name: value for name, value in values.items() if value is not None}


def _value(record: Record, measure: Measure) -> Value | None:
    """The measure's value. Where the measure raises, or breaks its own range, the value is missing and says so."""
    try:
        value = measure.value(record)
    except Exception as error:  # noqa: BLE001  # the seam to a user's own code: one reply must not lose the cell
        return Value(None, f"{measure.name} failed: {type(error).__name__}: {error}")
    if value is None or value.missing == UNASKED:
        return None
    if value.value is None:
        return value
    low, high = measure.range
    if (low is not None and value.value < low) or (high is not None and value.value > high):
        return Value(None, f"{measure.name} gave {value.value:g}, which is outside its range")
    return value
