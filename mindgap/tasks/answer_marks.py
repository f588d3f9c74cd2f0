r"""What stands around an answer: characters that nobody sees, LaTeX's `\boxed{…}`, clauses that rule options out."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|textrm|mathsf|texttt)\s*\{([^{}]*)\}")
_WRONG = (
    r"\s+(?:are|is|were|was)\s+(?:all\s+|both\s+|clearly\s+|simply\s+|therefore\s+)*"
    r"(?:wrong|incorrect|false|not\s+(?:correct|right|true|valid))\b"
)


def without_unseen(text: str) -> str:
    """`text` without zero-width characters, soft hyphens and marks of direction."""
    return _UNSEEN.sub("", text)


def boxed(text: str) -> list[str]:
    r"""What stands in each `\boxed{…}`, commands for fonts taken off; one that is never closed ends with its line."""
    held = []
    for box in _BOX.finditer(text):
        depth, end = 1, box.end()
        while end < len(text) and depth and text[end] != "\n":
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        inside = text[box.end() : end - 1 if depth == 0 else end]
        while (plain := _COMMAND.sub(r"\1", inside)) != inside:
            inside = plain
        held.append(inside.replace("\\ ", " ").replace("\\", ""))
    return held


def without_ruled_out(text: str, options: Sequence[str]) -> tuple[str, frozenset[str]]:
    """`text` without clauses that say of options that they are wrong, and the letters of those options.

    "the others (A, C, D) are wrong", "A and C are incorrect", "A (Rome) is not correct".
    """
    letters = string.ascii_uppercase[: len(options)] or "A"
    texts = "|".join(re.escape(option.strip()) for option in sorted(options, key=len, reverse=True) if option.strip())
    named = rf"(?:[.:)]?\s*[(\"“]?(?:{texts})[)\"”]?)?" if texts else ""
    one = rf"(?:(?i:options?|choices?|answers?)\s+)?[*_]*[(\[]?(?<!\w)[{letters}](?!\w)[)\]]?[*_]*{named}[*_]*"
    listed = rf"{one}(?:\s*(?:,|/|&|,?\s+(?:and|or)\b)\s*{one})*"
    others = (
        rf"(?i:the\s+)?(?i:others?|rest|(?:other|remaining)\s+(?:options?|choices?|answers?))"
        rf"\s*[(:,]?\s*(?:{listed})\s*[),]?"
    )
    clause = re.compile(
        rf"[,;]?\s*(?:(?i:and|while|whereas|since|because|as|so)\s+)?(?P<who>{others}|{listed}){_WRONG}"
    )
    ruled_out: set[str] = set()

    def take(match: re.Match[str]) -> str:
        ruled_out.update(
            re.findall(rf"(?<!\w)[{letters}](?!\w)", re.sub(texts, " ", match["who"]) if texts else match["who"])
        )
        return " "

    return clause.sub(take, text), frozenset(ruled_out)
