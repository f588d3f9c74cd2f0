"""Reads a judge's reply: two scores from 1 to 5, or why one is missing. Nothing is guessed, clamped or defaulted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mindgap.core.characters import encodable
from mindgap.core.records import Score

SPELLINGS = {"behaviour": ("behaviour", "behavior"), "coherence": ("coherence",)}
"""Keys that a score may stand under."""

MOST_DIGITS = 100
"""Longer numbers are no scores, and some cannot be read: Python refuses integers of more than 4,300 digits."""

MOST_TRIES = 1000
"""Opening braces that are tried: each failure takes time in proportion to the text, and a reply may be megabytes."""

_DECODER = json.JSONDecoder(strict=False)  # line breaks inside strings are common and harmless


def read_scores(text: str) -> tuple[Score, Score, str]:
    """The scores in a reply that should be one JSON object, and may have words around it.

    Several objects that disagree are no answer: one of them may be quoted from the response that is judged.

    Returns:
        Behaviour, coherence, and the analysis.
    """
    verdicts = [
        verdict for verdict in _objects(text) if any(key in verdict for keys in SPELLINGS.values() for key in keys)
    ]
    if not verdicts:
        reason = f"no scores in the judge's reply: {_excerpt(text)}"
        return Score(None, reason), Score(None, reason), ""
    analysis = next((verdict["analysis"] for verdict in verdicts if isinstance(verdict.get("analysis"), str)), "")
    return _agreed("behaviour", verdicts), _agreed("coherence", verdicts), encodable(analysis)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in `text`, in order; what lies inside one is not looked at again."""
    start = text.find("{")
    for _ in range(MOST_TRIES):
        if start < 0:
            return
        try:
            json_object, end = _DECODER.raw_decode(text, start)
        except RecursionError:  # nested too deep, and what lies inside would be tried brace by brace
            return
        except ValueError:  # no JSON, or a number of thousands of digits
            end = start + 1
        else:
            yield json_object
        start = text.find("{", end)


def _agreed(name: str, verdicts: list[dict[str, Any]]) -> Score:
    values = [verdict[key] for verdict in verdicts for key in SPELLINGS[name] if key in verdict]
    if not values:
        return Score(None, f"the judge gave no {name}")
    scores = {_score(name, value) for value in values}
    return (
        scores.pop()
        if len(scores) == 1
        else Score(None, f"the judge gave several values for {name}: {_excerpt(str(values))}")
    )


def _score(name: str, value: Any) -> Score:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < MOST_DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return Score(None, f"{name} is not an integer: {_excerpt(json.dumps(value, ensure_ascii=False))}")
    if not 1 <= value <= 5:
        return Score(None, f"{name} is out of range: {_excerpt(str(value))}")
    return Score(float(value))


def _excerpt(text: str) -> str:
    words = encodable(" ".join(text.split()))
    return (words if len(words) <= 80 else words[:79] + "…") or "(nothing)"
