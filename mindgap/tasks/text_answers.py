r"""Reads which answer in words or numbers a generated reply settles on, without ever guessing.

What counts as an answer, tried in this order; the first kind that is there at all decides:

1. `<answer>…</answer>`; a tag that is never closed ends with its line.
2. `\boxed{…}`, as mathematics writes it, and `#### …`, as GSM8K does.
3. A statement: "the answer is …" or "Answer: …", to the end of its sentence.
4. The whole reply, if it is a few words on one line without doubt or denial (for a number: nothing but it).
5. The last number of the reply, only where that is asked for: it is a guess, if a common one (lm-evaluation-harness
   calls it flexible-extract).

If several answers are found they must agree. Finished reasoning (`<thinking>…</thinking>`) is not read. Everything else
is unparsed, with one of the reasons of this module or of `mindgap.tasks.answers`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal

from mindgap.core.records import Answer
from mindgap.tasks.answer_marks import BOX, REASONING_START, TAG, after_reasoning, braced
from mindgap.tasks.answers import CUT_OFF, EMPTY_REPLY, EMPTY_TAG, NO_ANSWER, ONLY_REASONING, SEVERAL
from mindgap.tasks.numbers import Quantity, quantities, quantity, same_quantity

NO_NUMBER = "not a number that can be read"
OTHER_UNIT = "a number in another unit"
NO_MATCH = "the pattern is not in the reply"

Normalise = Literal["none", "text", "math"]
"""`none`: as it stands. `text`: case, spaces, quotes, articles and closing punctuation do not count. `math`: nor do
LaTeX's spacing, sizes and dollar signs."""

_ECHO = re.compile(r"(?:the |your )?(?:final )?(?:answer|number)(?: here)?|\.\.\.|…", re.I)
_HASHES = re.compile(r"^\s*####[ \t]*(?P<held>[^\n]+)", re.M)
_STATEMENT = re.compile(
    r"(?:(?<!\bnot )(?<!\bif )(?<!\bwhether )\b(?:the|my)\s+|^[\s*_#>-]*)(?:(?:final|correct|right)\s+)*answer\s*[*_]*"
    r"\s*(?:\bis\b|:|=)(?!\s*not\b)[ \t:*_]*(?:\n\s*(?=[^\n]*\s*\Z))?(?P<held>[^\n]*)",
    re.I | re.M,
)
# Behind two letters or a digit: the point of "U.S. Virgin Islands" ends nothing.
_SENTENCE_END = re.compile(r"(?:(?<=\w\w[.!;])|(?<=\d[.!;])|(?<=[)\]*_][.!;]))[*_]*\s+(?=\S)|[\s,]+(?:because|since)\b")
_UNSURE = re.compile(r"\b(?:answer|no|not|or|maybe|perhaps|think|know|sure)\b|n['’]t\b|\?", re.I)
MOST_WORDS = 8
"""Of a whole reply that counts as its own answer: a longer one is a sentence about something."""
_ARTICLE = re.compile(r"^(?:the|a|an)\s+(?=\S)")
_MATH_NOISE = re.compile(r"\\(?:left|right|displaystyle|,|!|;|:|quad|qquad)(?![A-Za-z])|\\ |[\s$]|\^\{?\\circ\}?")


def read_text(reply: str, accepted: Sequence[str], normalise: Normalise = "text") -> Answer:
    """The answer in words that `reply` settles on.

    Args:
        reply: What the model said.
        accepted: Right answers; any of them will do. None at all: `Answer.right` is None.
        normalise: What does not count when answers are compared.
    """
    found = _settled(reply)
    if isinstance(found, Answer):
        return found
    held, stated = found
    keys = {normal(text, normalise): text for text in held}
    right_keys = {normal(text, normalise) for text in accepted}
    if len(keys) > 1 and not (stated and len({key in right_keys for key in keys}) == 1 and keys.keys() <= right_keys):
        return Answer(None, SEVERAL)
    key, text = next(iter(keys.items()))
    if not key:
        return Answer(None, EMPTY_TAG if stated else NO_ANSWER)
    return Answer(None, text=text, right=key in right_keys if accepted else None)


def read_number(
    reply: str, accepted: Sequence[str], *, tolerance: float = 1e-6, last_number: bool = False, unit: bool = True
) -> Answer:
    """The number that `reply` settles on.

    Args:
        reply: What the model said.
        accepted: Right numbers, with or without units; any of them will do.
        tolerance: Largest relative difference that does not count.
        last_number: Where nothing is stated, take the reply's last number.
        unit: Whether a unit that differs from the right answer's makes the number unreadable. A side without a unit
            agrees with any.
    """
    found = _settled(reply)
    numbers: list[Quantity] = []
    if not isinstance(found, Answer):
        held, stated = found
        read = [_number(text, strict=not stated) for text in held]
        if stated and None in read:
            return Answer(None, NO_NUMBER)
        numbers = [number for number in read if number is not None]
    elif found.unparsed not in (NO_ANSWER, EMPTY_TAG):
        return found
    if not numbers and last_number:
        numbers = quantities(after_reasoning(reply))[-1:]
    if not numbers:
        return found if isinstance(found, Answer) else Answer(None, NO_ANSWER)
    if not all(same_quantity(numbers[0], other, tolerance) for other in numbers[1:]):
        return Answer(None, SEVERAL)
    number = numbers[0]
    golds = [gold for text in accepted if (gold := _number(text, strict=False)) is not None]
    if unit and golds and all(_units_differ(number, gold) for gold in golds):
        return Answer(None, OTHER_UNIT)
    right = any(same_quantity(number, gold, tolerance) for gold in golds) if accepted else None
    return Answer(None, text=number.text, right=right)


def read_pattern(
    reply: str, pattern: re.Pattern[str], accepted: Sequence[str], normalise: Normalise = "text"
) -> Answer:
    """The answer that `pattern` finds in `reply`: its first group, or all of it. Several must agree."""
    if not reply.strip():
        return Answer(None, EMPTY_REPLY)
    found = [next((g for g in match.groups() if g is not None), match[0]) for match in pattern.finditer(reply)]
    keys = {normal(text, normalise): text for text in found}
    if len(keys) != 1:
        return Answer(None, SEVERAL if keys else NO_MATCH)
    key, text = next(iter(keys.items()))
    right = key in {normal(entry, normalise) for entry in accepted} if accepted else None
    return Answer(None, text=text.strip(), right=right) if text.strip() else Answer(None, NO_MATCH)


def normal(text: str, normalise: Normalise) -> str:
    """What of `text` counts when answers are compared."""
    if normalise == "none":
        return text.strip()
    text = unicodedata.normalize("NFKC", text)
    if normalise == "math":
        text = re.sub(r"\\[dt]frac", r"\\frac", text)
        text = re.sub(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}", r"\1", text)
        text = _MATH_NOISE.sub("", re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)).rstrip(".")
        return re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))|(?<=\d)\.0+$", "", text)
    text = " ".join(re.sub(r"\*\*|__|`", "", text).split()).casefold()
    text = text.strip(" *_\"'‘’“”«»").rstrip(".!,;: ").strip("\"'‘’“”«»")
    return _ARTICLE.sub("", text)


def boxed(text: str) -> list[str]:
    r"""What stands in each `\boxed{…}` of `text`, braces within braces included; one never closed is left out."""
    found = (braced(text, match.end(), len(text)) for match in BOX.finditer(text))
    return [held for held, closed in found if closed]


def gold_number(text: str) -> str | None:
    r"""The number in a data set's answer: after `####`, in `\boxed{}`, or all of it; None where there is none."""
    marked = [match["held"] for match in _HASHES.finditer(text)] or boxed(text)
    held = (marked[-1] if marked else text).strip()
    return held if _number(held, strict=True) is not None else None


def _settled(reply: str) -> tuple[list[str], bool] | Answer:
    """The texts in which `reply` says its answer, and whether it says that they are; or why there are none."""
    if not reply.strip():
        return Answer(None, EMPTY_REPLY)
    text = after_reasoning(reply)
    if not text.strip():
        return Answer(None, ONLY_REASONING)
    if tags := list(TAG.finditer(text)):
        return _in_tags(tags)
    if REASONING_START.search(text):
        return Answer(None, ONLY_REASONING)
    if re.search(r"<\s*a[a-z]*\s*\Z", text, re.I):
        return Answer(None, CUT_OFF)
    if BOX.search(text):
        held = boxed(text)
        return (held, True) if held else Answer(None, CUT_OFF)
    if hashes := [match["held"].strip() for match in _HASHES.finditer(text)]:
        return hashes, True
    statements = [match["held"] for match in _STATEMENT.finditer(text) if not match["held"].rstrip(" *_").endswith("?")]
    if heads := [head for line in statements if (head := _SENTENCE_END.split(line, maxsplit=1)[0].strip(" *_"))]:
        return heads, True
    if statements or "\n" in text.strip() or len(text.split()) > MOST_WORDS or _UNSURE.search(text):
        return Answer(None, NO_ANSWER)
    return [text.strip()], False


def _in_tags(tags: Sequence[re.Match[str]]) -> tuple[list[str], bool] | Answer:
    held = []
    for tag in tags:
        inside = tag["held"].strip()
        if not tag["close"]:
            inside = re.sub(r"<[\s/]*[a-z]*\s*\Z", "", inside, flags=re.I).partition("\n")[0].strip()
        if inside and not _ECHO.fullmatch(inside):
            held.append((boxed(inside) or [inside])[-1])
    if held:
        return held, True
    return Answer(None, EMPTY_TAG if tags[-1]["close"] else CUT_OFF)


def _number(text: str, *, strict: bool) -> Quantity | None:
    """The number that `text` is; not `strict`: or the only one in it, or the one behind its last equals sign."""
    readers: list[Callable[[], Quantity | None]] = [lambda: quantity(text)]
    if not strict:
        readers += [lambda: quantity(text.rpartition("=")[2]) if "=" in text else None, lambda: _only(text)]
    return next((number for reader in readers if (number := reader()) is not None), None)


def _only(text: str) -> Quantity | None:
    found = quantities(text)
    return found[0] if len(found) == 1 else None


def _units_differ(one: Quantity, other: Quantity) -> bool:
    return bool(one.unit) and bool(other.unit) and one.unit != other.unit
