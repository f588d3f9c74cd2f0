"""Tells which question a recorded prompt asks: by its content, never by its place in the file."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mindgap.core.keys import content_key
from mindgap.core.records import Item

_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]+", re.M)


def item_id(prompt: str) -> str:
    """Id of a prompt that has no other: a hash of its text, blind to spacing."""
    return f"prompt-{content_key('recorded prompt', text=_squeezed(prompt))[:12]}"


def item_of(prompt: str, options: str | Sequence[str] | None) -> Item:
    """The item that a prompt asks about; its gold answer is not known here.

    Args:
        prompt: The user's message.
        options: As in `ColumnMap.options`.
    """
    bare = Item(item_id(prompt), prompt)
    if options is None:
        return bare
    if not isinstance(options, str):
        return replace(bare, options=tuple(options))
    question, lettered = split_options(prompt)
    return replace(bare, question=question, options=lettered) if lettered else bare


def split_options(prompt: str) -> tuple[str, tuple[str, ...]]:
    """Take the lettered lines `A. …`, `B. …` of a prompt apart.

    The letters must come in order from A. An option goes on to the next letter; the last ends at an empty line, since
    what stands behind it (a format instruction, as a rule) belongs to no option. Where several lists begin, the last
    counts: a question may quote one.

    Returns:
        The question before the lines, and what the lines say; () if there are none.
    """
    marks = list(_OPTION.finditer(prompt))
    starts = [index for index, mark in enumerate(marks) if mark[1] == "A"]
    for start in reversed(starts):
        run = []
        for mark, letter in zip(marks[start:], string.ascii_uppercase, strict=False):
            if mark[1] != letter:
                break
            run.append(mark)
        if len(run) >= 2:
            ends = [mark.start() for mark in run[1:]]
            texts = [prompt[mark.end() : end].strip() for mark, end in zip(run, ends, strict=False)]
            last = re.split(r"\n[ \t]*\n", prompt[run[-1].end() :].strip(), maxsplit=1)[0].strip()
            return prompt[: run[0].start()].strip(), (*texts, last)
    return prompt.strip(), ()


class ItemIndex:
    """Known items, found by the text of their question and options."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._by_text: dict[str, list[Item]] = {}
        for item in items:
            self._by_text.setdefault(_content(item), []).append(item)

    def find(self, item: Item) -> Item | None:
        """The known item with this question and these options; None if there is none, or several that disagree."""
        candidates = self._by_text.get(_content(item), [])
        agree = len({candidate.gold for candidate in candidates}) == 1
        return candidates[0] if agree else None


def _content(item: Item) -> str:
    return content_key("item text", question=_squeezed(item.question), options=[_squeezed(o) for o in item.options])


def _squeezed(text: str) -> str:
    return " ".join(text.split())
