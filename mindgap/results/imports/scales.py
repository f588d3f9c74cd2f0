"""Brings recorded scores to the scale of 1 to 5, and notices those that were given on another."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.core.records import Score
from mindgap.results.imports.values import is_absent

LOWEST, HIGHEST = 1.0, 5.0
NOT_RECORDED = "no score recorded"
NO_NUMBER = "is not a number"
OUT_OF_RANGE = "is outside"
METRICS = ("behaviour", "coherence")

ScaleMap = Mapping[str, tuple[float, float]]
"""Lowest and highest score of each metric, as recorded."""

FEW_STRAY = 0.2
"""Up to this share, and one always, scores below 1 are strays: failures of a judge that are written as 0."""
STRAY_ABOVE = 0.02
"""Likewise above 5, and one score always."""


def read_scale(setting: Any) -> ScaleMap:
    """What `map.scale` says: two numbers, or two for a metric; without a setting 1 to 5.

    Raises:
        ConfigError: It is something else.
    """
    by_metric = setting if isinstance(setting, Mapping) else dict.fromkeys(METRICS, setting)
    if unknown := set(by_metric) - set(METRICS):
        raise ConfigError(f"map.scale.{min(unknown)}: scales are of behaviour and coherence")
    scales = {}
    for metric in METRICS:
        ends = by_metric.get(metric)
        if ends is None:
            ends = (LOWEST, HIGHEST)
        good = isinstance(ends, list | tuple) and len(ends) == 2
        if (
            not good
            or not all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
            or ends[0] == ends[1]
        ):
            raise ConfigError(
                f"map.scale={ends!r}: give the lowest and the highest score, for example map.scale=[0,100]"
            )
        scales[metric] = (float(ends[0]), float(ends[1]))
    return scales


def read_score(value: Any, scale: tuple[float, float] = (LOWEST, HIGHEST)) -> Score:
    """A recorded score on the scale of 1 to 5, or why it is none: absent, no number, or outside its own scale.

    It is never moved into range.

    Args:
        value: As recorded.
        scale: Its worst and its best; the first may be the larger number.
    """
    number = as_number(value)
    if number is None:
        text = str(value).strip()
        return Score(None, NOT_RECORDED if is_absent(value) or not text else f"{text[:40]!r} {NO_NUMBER}")
    if math.isnan(number):
        return Score(None, NOT_RECORDED)
    if not min(scale) <= number <= max(scale):
        return Score(None, f"{number:g} {OUT_OF_RANGE} {scale[0]:g}-{scale[1]:g}")
    if scale == (LOWEST, HIGHEST):
        return Score(number)
    return Score(LOWEST + (HIGHEST - LOWEST) * (number - scale[0]) / (scale[1] - scale[0]))


def as_number(value: Any) -> float | None:
    """A recorded value as a number, which NaN may be; None where it is none. `true` and `false` are 1 and 0."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in ("true", "false"):
            return float(text.lower() == "true")
        if len(text) > 40 or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf(inity)?)", text, re.I):
            return None
        return float(text)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def another_scale(values: Sequence[Any]) -> str | None:
    """The scale that scores seem to be on, such as "0-100", if that is not 1 to 5; None where it may well be.

    A stray 0 or 9 among scores of 1 to 5 is no other scale.
    """
    numbers = [number for value in values if (number := as_number(value)) is not None and math.isfinite(number)]
    if not numbers:
        return None
    above = sum(number > HIGHEST for number in numbers)
    below = sum(number < LOWEST for number in numbers)
    low, high = min(numbers), max(numbers)
    if above > max(1, STRAY_ABOVE * len(numbers)):
        return _named(low, high)
    if below > max(1, FEW_STRAY * len(numbers)) and high < HIGHEST:
        return _named(low, high)
    return None


def _named(low: float, high: float) -> str:
    if low < 0:
        reach = next((end for end in (1, 2, 3, 5, 10, 100) if max(-low, high) <= end), math.ceil(max(-low, high)))
        return f"-{reach}-{reach}"
    top = next((end for end in (1, 2, 3, 4, 7, 10, 100) if high <= end), math.ceil(high))
    return f"{1 if low >= 1 and top in (7, 10) else 0}-{top}"


def check_scales(scores: Mapping[str, Sequence[Any]], given: bool) -> None:
    """Refuse scores that seem to be on another scale than 1 to 5, before any mean of what is left is shown.

    Args:
        scores: Recorded values by metric.
        given: Whether the map says the scale: then it is believed.

    Raises:
        ConfigError: With the guess, and the setting that would say so.
    """
    if given:
        return
    guesses = {metric: guess for metric, values in scores.items() if (guess := another_scale(values))}
    for metric, values in scores.items():  # all 1 is in range here, and the best there where the other is on 0-1
        for guess in tuple(guesses.values()):
            low, high = map(float, guess.rsplit("-", 1))
            numbers = [number for value in values if (number := as_number(value)) is not None]
            if metric not in guesses and high < HIGHEST and numbers and all(low <= x <= high for x in numbers):
                guesses[metric] = guess
    if guesses:
        seen = " and ".join(f"{metric} scores look like {guess}" for metric, guess in guesses.items())
        ends = {metric: re.sub(r"(?<=\d)-", ", ", guess) for metric, guess in guesses.items()}
        if len(guesses) == len(scores) and len(set(guesses.values())) == 1:
            setting = f"map.scale=[{next(iter(ends.values()))}]"
        else:
            setting = " ".join(f"'map.scale.{metric}=[{end}]'" for metric, end in ends.items())
        raise ConfigError(
            f"{seen}, and mindgap's scale is 1-5: say so and they are converted, {setting} (or what it really is; "
            "[1, 5] keeps them as they are and those outside are missing)"
        )
