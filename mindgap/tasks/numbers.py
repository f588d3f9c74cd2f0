r"""Numbers as they are written: `1,234.5`, `-3/4`, `\frac{3}{4}`, `2.5e3`, `3 × 10^4`, `$18`, `12 km`, `5%`.

What has two readings (`1.234,5`, `12,5`, `1,23,4`) is no number here. Values are exact fractions.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

MOST_DIGITS = 400
"""Longer digits or larger exponents are no answer, and would take for ever."""

_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}
_UNITS = {
    "dollars": "dollar", "usd": "dollar", "euros": "euro", "eur": "euro", "pounds": "pound", "percent": "%",
    "per cent": "%", "kilometers": "km", "kilometres": "km", "kilometer": "km", "kilometre": "km", "meters": "m",
    "metres": "m", "meter": "m", "metre": "m", "centimeters": "cm", "centimetres": "cm", "kilograms": "kg",
    "kilogram": "kg", "grams": "g", "gram": "g", "liters": "l", "litres": "l", "liter": "l", "litre": "l",
    "hour": "h", "hours": "h", "hrs": "h", "minutes": "min", "minute": "min", "mins": "min", "seconds": "s",
    "second": "s", "sec": "s", "degrees": "°", "degree": "°",
}  # fmt: skip
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,]*\d)|\d+(?:\.\d+)?|\.\d+)"
_FRAC = re.compile(r"(?P<sign>[-+]?)\s*\\[dt]?frac\s*\{\s*(?P<top>-?\d+)\s*\}\s*\{\s*(?P<bottom>\d+)\s*\}")
_NUMBER = re.compile(
    rf"(?<![\w.,])(?P<sign>[-+]?)\s?(?P<money>[$€£¥₹]?)\s?(?P<sign2>[-+]?)(?P<digits>{_DIGITS})(?![.,]?\d)"
    rf"(?:[eE](?P<exponent>[-+]?\d+)|\s*(?:×|x|\*|\\times|\\cdot)\s*10\s*\^\s*\{{?(?P<power>[-+]?\d+)\}}?)?"
    rf"(?:\s*/\s*(?P<bottom>\d+)(?![\d.]))?"
)
_UNIT = re.compile(r"\s*(?P<unit>%|°|[^\W\d_]+(?:[\s/·-]+[^\W\d_]+){0,3}[²³]?|[^\W\d_]+\^?[23])?\s*[.!]*")


@dataclass(frozen=True)
class Quantity:
    """A number with its unit.

    Attributes:
        value: Exactly what was written; of `5%` it is 5.
        unit: In one spelling for each; empty = none, or one that is no known unit ("5 apples").
        text: As it was written.
    """

    value: Fraction
    unit: str
    text: str


def quantity(text: str) -> Quantity | None:
    """The number that all of `text` is, with at most a unit of a few words after it; None where it is none."""
    plain = _plain(text)
    match = _FRAC.match(plain) or _NUMBER.match(plain)
    if match is None:
        return None
    unit = _UNIT.fullmatch(plain, match.end())
    return None if unit is None else _quantity(match, unit["unit"] or "")


def quantities(text: str) -> list[Quantity]:
    """Every number in `text`, in order. A word after a number counts as its unit only where it is a known one."""
    plain = _plain(text)
    matches = sorted([*_FRAC.finditer(plain), *_NUMBER.finditer(plain)], key=lambda match: match.start())
    found, end = [], 0
    for match in matches:
        if match.start() < end:
            continue
        end = match.end()
        after = re.match(r"\s*(%|°|[^\W\d_]+)", plain[end:])
        if (read := _quantity(match, after[1] if after else "")) is not None:
            found.append(read)
    return found


def same_quantity(one: Quantity, other: Quantity, tolerance: float) -> bool:
    """Whether two numbers are equal but for a relative `tolerance`. `5%` equals `5` and `0.05` without a unit."""
    candidates = [(one.value, other.value)]
    if (one.unit == "%") != (other.unit == "%") and "" in (one.unit, other.unit):
        percent, plain = (one, other) if one.unit == "%" else (other, one)
        candidates.append((percent.value / 100, plain.value))
    return any(abs(a - b) <= Fraction(tolerance) * max(abs(a), abs(b)) for a, b in candidates)


def _plain(text: str) -> str:
    """`text` without markup and LaTeX's wrapping; fractions such as ½ and 2³ stay what they are."""
    text = re.sub(r"[\u2212\u2013\u2010\u2011\ufe63\uff0d](?=\s?[\d.$€£\\])", "-", text)
    text = "".join(unicodedata.normalize("NFKC", c) if "\uff01" <= c <= "\uff5e" else c for c in text)
    text = re.sub(r"[\u00a0\u2009\u202f]", " ", text)
    text = re.sub(r"(?<=\d) (?=\d{3}(?:\D|$))", "", text) if re.fullmatch(r"\D*\d{1,3}(?: \d{3})+\D*", text) else text
    text = re.sub(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}", r" \1", text).replace("\\$", "$").replace("\\%", "%")
    text = re.sub(r"\\(?:left|right|[,!;: ])|\*\*|__|`|\\\(|\\\)|\\\[|\\\]", "", text).replace("{,}", ",")
    text = re.sub(r"^\s*\$(.*)\$\s*$", r"\1", text)
    return re.sub(r"\^\{?\\circ\}?", "°", text).strip(" *_\"'")


def _quantity(match: re.Match[str], unit: str) -> Quantity | None:
    groups = match.groupdict()
    if "digits" not in groups:
        if int(groups["bottom"]) == 0:
            return None
        value = Fraction(int(groups["top"]), int(groups["bottom"]))
        return Quantity(-value if groups["sign"] == "-" else value, _unit(unit), match[0].strip())
    digits = groups["digits"].replace(",", "")
    exponent = int(groups["exponent"] or groups["power"] or 0)
    if len(digits) > MOST_DIGITS or abs(exponent) > MOST_DIGITS:
        return None
    value = Fraction(digits) * Fraction(10) ** exponent
    if groups["bottom"] is not None:
        if int(groups["bottom"]) == 0:
            return None
        value /= int(groups["bottom"])
    if "-" in (groups["sign"], groups["sign2"]):
        value = -value
    named = _CURRENCIES.get(groups["money"], "") or _unit(unit)
    return Quantity(value, named, f"{match[0].strip()}{unit if unit == '%' else ''}")


def _unit(written: str) -> str:
    """A known unit in its one spelling, or empty: "apples" and "more" are no units that could differ."""
    word = written.strip().rstrip(".").casefold()
    if word in _UNITS:
        return _UNITS[word]
    return word if word in _UNITS.values() else ""
