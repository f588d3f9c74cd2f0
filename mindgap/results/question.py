"""What a reader wants to know of a sweep: the most behaviour, at a price that may be paid, against which reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from mindgap.core.errors import ConfigError, did_you_mean
from mindgap.core.measurement import Declaration


@dataclass(frozen=True)
class Question:
    """Which method brings the most behaviour at no more than so much lost? (`question` in `conf/config.yaml`.)

    It changes no sample: a sweep that is finished can be asked another one.

    Attributes:
        margin: Most that may be lost of `metric` against the reference, in the metric's own unit: of accuracy, a share
            (0.02 = two percentage points).
        metric: Name of the measure that pays. None = the first rate among what steering may cost: accuracy, where the
            task has right answers.
        at_least: Mean behaviour that a method has to reach to be an answer, on the scale of the score. None = any that
            is clearly above the reference.
        confidence: That the limit is kept, for a cell to be chosen: 0.95 is cautious. None takes the means at their
            word, and says how sure it is.
        reference: The cell that losses and gains are counted from: a method, a label, a cell's folder, or what people
            call the cell. None = `control` where there is one.
    """

    margin: float = 0.03
    metric: str | None = None
    at_least: float | None = None
    confidence: float | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ConfigError(
                f"question.confidence={self.confidence:g}: must be at least 0.5 and below 1, such as 0.95"
            )
        if not self.margin > 0:
            raise ConfigError(
                f"question.margin={self.margin:g}: must be above 0; no study can show that nothing at all is lost"
            )

    def check(self, measures: Iterable[Declaration]) -> None:
        """Raise ConfigError where the question cannot be asked of these measures."""
        known = {measure.name: measure for measure in measures}
        if self.metric is not None:
            if self.metric not in known:
                raise ConfigError(
                    f"question.metric={self.metric}: nothing of that name is measured. "
                    f"{did_you_mean(self.metric, known)}"
                )
            if known[self.metric].better != "higher":
                rising = ", ".join(name for name, measure in known.items() if measure.better == "higher")
                raise ConfigError(
                    f"question.metric={self.metric}: it is no measure of which more is better, so nothing of it can be "
                    f"lost; there are {rising}"
                )
        paying = self.paying(known.values())
        if paying is not None and paying.binary and self.margin >= 1:
            raise ConfigError(
                f"question.margin={self.margin:g}: {paying.name} is a share from 0 to 1; {self.margin:g} percentage "
                f"points are {self.margin / 100:g}"
            )
        if self.at_least is not None:
            self._check_at_least(known.values())

    def _check_at_least(self, measures: Iterable[Declaration]) -> None:
        target = next((measure for measure in measures if measure.role == "behaviour"), None)
        if target is None:
            raise ConfigError(f"question.at_least={self.at_least:g}: no behaviour is measured")
        low, high = target.range
        if low is not None and high is not None and not low <= (self.at_least or 0) <= high:
            raise ConfigError(f"question.at_least={self.at_least:g}: {target.name} is scored from {low:g} to {high:g}")

    def paying(self, measures: Iterable[Declaration]) -> Declaration | None:
        """The measure that pays: the one that `metric` names, else the first primary rate that steering may cost."""
        if self.metric is not None:
            return next((measure for measure in measures if measure.name == self.metric), None)
        costs = (measure for measure in measures if measure.role == "cost" and measure.prominence == "primary")
        return next((measure for measure in costs if measure.binary), None)


def question_in(config: Mapping[str, Any]) -> Question:
    """The question of a saved configuration; the usual one where it names none."""
    saved = config.get("question")
    known = {field.name for field in fields(Question)}
    return Question(**{key: value for key, value in saved.items() if key in known}) if saved else Question()
