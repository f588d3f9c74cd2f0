r"""What stands around an answer: tags, reasoning, unseen characters, LaTeX's `\boxed{…}`, ruled-out options."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")
BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
REASONING_START = re.compile(r"<\s*(?:think|thinking)\s*>", re.I)
TAG = re.compile(r"<\s*answer\s*>(?P<held>.*?)(?P<close><\s*/\s*answer\s*>|(?=<\s*answer\s*>)|\Z)", re.I | re.S)
_REASONING = re.compile(r"<\s*(think|thinking)\s*>.*?<\s*/\s*\1\s*>", re.I | re.S)
_REASONING_END = re.compile(r"<\s*/\s*(?:think|thinking)\s*>", re.I)
_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|textrm|mathsf|texttt)\s*\{([^{}]*)\}")
_WRONG = (
    r"\s+(?:are|is|were|was)\s+(?:all\s+|both\s+|clearly\s+|simply\s+|therefore\s+)*"
    r"(?:wrong|incorrect|false|not\s+(?:correct|right|true|valid))\b"
)


def without_unseen(text: str) -> str:
    """`text` without zero-width characters, soft hyphens and marks of direction."""
    return _UNSEEN.sub("", text)


def after_reasoning(text: str) -> str:
    """`text` without finished reasoning, and without what stands before the end of one that began elsewhere."""
    return _REASONING_END.split(_REASONING.sub(" ", text))[-1]


def braced(text: str, start: int, stop: int) -> tuple[str, bool]:
    """What stands from `start` to the brace that closes the one before it, or to `stop`; and whether it is closed."""
    depth = 1
    for place in range(start, stop):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place], True
    return text[start:stop], False


def boxed(text: str) -> list[str]:
    r"""What stands in each `\boxed{…}`, commands for fonts taken off; one that is never closed ends with its line."""
    held = []
    for box in BOX.finditer(text):
        line_end = text.find("\n", box.end())
        inside, _ = braced(text, box.end(), len(text) if line_end < 0 else line_end)
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
