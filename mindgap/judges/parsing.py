"""Reads a judge's reply: two scores from 1 to 5, or why one is missing. Nothing is guessed, clamped or defaulted.

What a judge thinks before its verdict, between the marks that models put around thoughts, is never the verdict, nor are
drafts in it. Marks inside a JSON string are quoted from the response, and mark nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from mindgap.core.characters import encodable
from mindgap.core.records import Score
from mindgap.text.thoughts import MARKS

SPELLINGS = {"behaviour": ("behaviour", "behavior"), "coherence": ("coherence",)}
"""Keys that a score may stand under."""

MOST_DIGITS = 100
"""Longer numbers are no scores, and some cannot be read: Python refuses integers of more than 4,300 digits."""

MOST_TRIES = 1000
"""Opening braces that are tried: each failure takes time in proportion to the text, and a reply may be megabytes."""

CUT_OFF_THINKING = "the judge's reply was cut off inside its reasoning"

_BEYOND = 10**MOST_DIGITS


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MOST_DIGITS else _BEYOND


_DECODER = json.JSONDecoder(strict=False, parse_int=_integer)  # line breaks inside strings are common and harmless
_OPEN = "|".join(re.escape(marks.open.strip()) for marks in MARKS)
_CLOSE = "|".join(re.escape(marks.close) for marks in MARKS)
_WORDS = "think|thinking|thought|reasoning|reflection"
_MARK = re.compile(rf"(?P<open><\s*(?:{_WORDS})\s*>|{_OPEN})|(?P<close><\s*/\s*(?:{_WORDS})\s*>|{_CLOSE})|\{{", re.I)
_OUT_OF_FIVE = re.compile(r'("(?:behaviou?r|coherence)"\s*:\s*)(\d)\s*/\s*5(?=\s*[,}])')
_SPELT = re.compile(r"[*_\s]*(\d+)(?:\s*(?:/|out of)\s*5)?[*_\s]*")


def read_scores(text: str) -> tuple[Score, Score, str]:
    """The scores in a reply that should be one JSON object, and may have words around it.

    Several objects that disagree are no answer: one of them may be quoted from the response that is judged.

    Returns:
        Behaviour, coherence, and the analysis.
    """
    objects = _objects(_OUT_OF_FIVE.sub(r"\1\2", text))
    if objects is None:
        return Score(None, CUT_OFF_THINKING), Score(None, CUT_OFF_THINKING), ""
    verdicts = [verdict for verdict in objects if any(key in verdict for keys in SPELLINGS.values() for key in keys)]
    if not verdicts:
        reason = f"no scores in the judge's reply: {_excerpt(text)}"
        return Score(None, reason), Score(None, reason), ""
    analysis = next((verdict["analysis"] for verdict in verdicts if isinstance(verdict.get("analysis"), str)), "")
    return _agreed("behaviour", verdicts), _agreed("coherence", verdicts), encodable(analysis)


def _objects(text: str) -> list[dict[str, Any]] | None:
    """The outermost JSON objects in `text` that lie in no thought, in order; None where a thought does not end.

    What lies inside an object is not looked at again. A thought's end without its beginning ends what stood before it.
    """
    objects: list[dict[str, Any]] = []
    thinking = False
    tries = 0
    mark = _MARK.search(text)
    while mark and tries < MOST_TRIES:
        end = mark.end()
        if mark["open"]:
            thinking = True
        elif mark["close"]:
            objects, thinking = [], False
        elif not thinking:
            try:
                json_object, end = _DECODER.raw_decode(text, mark.start())
                objects.append(json_object)
            except RecursionError:  # nested too deep, and what lies inside would be tried brace by brace
                break
            except ValueError:  # no JSON
                tries += 1
        mark = _MARK.search(text, end)
    return None if thinking else objects


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
    """A whole number, also as a text and out of five (`"4/5"`): the scale knows no other."""
    if isinstance(value, str) and len(value) < MOST_DIGITS and value.isascii() and (spelt := _SPELT.fullmatch(value)):
        value = int(spelt[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return Score(None, f"{name} is not an integer: {_excerpt(json.dumps(value, ensure_ascii=False))}")
    if not 1 <= value <= 5:
        said = str(value) if abs(value) < _BEYOND else f"a number of more than {MOST_DIGITS} digits"
        return Score(None, f"{name} is out of range: {said}")
    return Score(float(value))


def _excerpt(text: str) -> str:
    words = encodable(" ".join(text.split()))
    return (words if len(words) <= 80 else words[:79] + "…") or "(nothing)"
