"""Whether a reply matches a regular expression."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mindgap.core.errors import ConfigError
from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record
from mindgap.measures.base import text_missing


@dataclass(frozen=True)
class Pattern:
    """1 where the pattern is found anywhere in the reply, else 0.

    Attributes:
        name: Column of samples.parquet and name of the metric.
        pattern: Regular expression as Python writes them.
        ignore_case: Whether capitals make no difference.
        label: Title for people.
        better: Which way is good.
        role: What it stands for; see `Declaration`.
        prominence: Where it is shown; see `Declaration`.
    """

    name: str
    pattern: str
    ignore_case: bool = True
    label: str = ""
    better: Better = "neither"
    role: Role = "sign"
    prominence: Prominence = "shown"

    range: Range = (0, 1)
    binary: bool = True
    digits: int = 3

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(
                f"measures.{self.name}.pattern={self.pattern!r}: not a regular expression ({error})"
            ) from error

    def value(self, sample: Record) -> Value:
        """See `Measure.value`."""
        flags = re.IGNORECASE if self.ignore_case else re.NOFLAG
        return text_missing(sample) or Value(float(re.search(self.pattern, sample.response, flags) is not None))
