"""Which column of a data set is what: as the user says, or as their names say where that is unambiguous."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindgap.core.errors import ConfigError

ANSWER_FORMS = ("auto", "index", "number", "letter", "text", "one_hot")

_QUESTION = (("question", "q"), ("prompt", "problem", "query", "instruction", "goal"), ("text", "input", "messages"))
_OPTIONS = (("options", "choices"), ("endings",))
_ANSWER = (
    ("answer", "gold", "key", "answerkey", "label", "target", "correct", "correctanswer", "answers"),
    ("solution",),
)
_ID = (("id", "questionid", "qid", "uniqueid", "itemid"),)
_SUBJECT = (("subject", "category", "topic"),)
_OPTION = re.compile(r"(?:option|choice|opt)?_?(?P<which>[a-z]|\d{1,2})")


@dataclass(frozen=True)
class Columns:
    """Names of a data set's columns (`task.columns`); null = to be told by their names. `a.b` is column a's field b.

    Attributes:
        question: What is asked: a text, or a conversation (a list of `role` and `content`) that ends with it.
        options: A column that holds a list of them, or a list of columns that hold one each.
        answer: The right answer; for `exact`, `numeric` and `regex` it may be a list of which any will do.
        id: Names the item. Without one, its content does.
        subject: Draws take from the subjects in turn.
        answer_is: How `answer` names an option: `index` from 0, `number` from 1, `letter`, `text`, `one_hot` by a
            1 among 0; `auto` = the one that fits all rows.
    """

    question: str | None = None
    options: str | tuple[str, ...] | None = None
    answer: str | None = None
    id: str | None = None
    subject: str | None = None
    answer_is: str = "auto"

    def __post_init__(self) -> None:
        if self.answer_is not in ANSWER_FORMS:
            raise ConfigError(f"task.columns.answer_is={self.answer_is!r}: choose {', '.join(ANSWER_FORMS)}")


def resolved(columns: Columns, there: Sequence[str], path: str) -> Columns:
    """`columns` with what is not said filled in from the names of those that are there.

    Raises:
        ConfigError: A column that is named is not there, there is no telling where the question is, or several could
            be it. With the columns that are there.
    """
    listed = f"{path} has the columns {', '.join(there)}"
    options = columns.options or _guess("options", _OPTIONS, there, listed) or _option_columns(there)
    named = {"question": columns.question, "answer": columns.answer, "id": columns.id, "subject": columns.subject}
    for key, column in [*named.items(), *(("options", c) for c in _several(options))]:
        if column is not None and column.partition(".")[0] not in there and column not in there:
            raise ConfigError(f"task.columns.{key}={column}: there is no such column; {listed}")
    taken = {column for column in [*named.values(), *_several(options)] if column}
    free = [column for column in there if column not in taken]
    question = columns.question or _guess("question", _QUESTION, free, listed)
    if question is None:
        raise ConfigError(f"task.columns.question: say which column holds the question; {listed}")
    free = [column for column in free if column != question]
    answer = columns.answer or _guess("answer", _ANSWER, free, listed)
    identity = columns.id or _guess("id", _ID, free, listed)
    subject = columns.subject or _guess("subject", _SUBJECT, free, listed)
    return Columns(question, options, answer, identity, subject, columns.answer_is)


def cell(values: Mapping[str, Any], column: str) -> Any:
    """What stands in a column, `a.b` being field b of column a; None where there is nothing."""
    if column in values:
        return values[column]
    value: Any = values
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def options_of(values: Mapping[str, Any], options: str | tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts of a row's options, and the labels that the row itself gives them (ARC: `{text: […], label: […]}`).

    Empty columns at the end are options that this row does not have.

    Raises:
        ValueError: In words for the user.
    """
    labels: tuple[str, ...] = ()
    if isinstance(options, tuple):
        found = [cell(values, column) for column in options]
        while found and _blank(found[-1]):
            found.pop()
    else:
        found = cell(values, options)
        if isinstance(found, Mapping) and "text" in found:
            labels = tuple(str(label) for label in found.get("label") or ())
            found = found["text"]
        elif isinstance(found, Mapping):
            labels, found = tuple(str(label) for label in found), list(found.values())
    if not isinstance(found, list):
        raise ValueError(f"column {options!r} holds no list of options but {found!r:.80}")
    if any(_blank(option) or isinstance(option, list | dict) for option in found):
        raise ValueError("an option is empty, or no text")
    if not 2 <= len(found) <= len(string.ascii_uppercase):
        raise ValueError(f"an item has 2 to {len(string.ascii_uppercase)} options, not {len(found)}")
    if labels and len(labels) != len(found):
        raise ValueError(f"{len(found)} options, but {len(labels)} labels")
    return tuple(str(option).strip() for option in found), labels


def gold_index(answer: Any, options: Sequence[str], labels: Sequence[str], form: str) -> int | None:
    """The index of the option that `answer` names in this form; None where it names none."""
    written = str(answer).strip()
    if form == "one_hot":
        marks = list(answer) if isinstance(answer, list | tuple) else []
        return marks.index(1) if len(marks) == len(options) and sorted(marks) == [0] * (len(marks) - 1) + [1] else None
    if form == "text":
        places = [index for index, option in enumerate(options) if option == written]
        return places[0] if len(places) == 1 else None
    if form == "letter":
        named = [str(label) for label in labels] or list(string.ascii_uppercase[: len(options)])
        bare = written.strip("().").strip()
        matches = [index for index, label in enumerate(named) if label.casefold() == bare.casefold()]
        return matches[0] if len(matches) == 1 else None
    if isinstance(answer, bool) or not re.fullmatch(r"\d+(?:\.0+)?", written):
        return None
    index = int(float(written)) - (form == "number")
    return index if 0 <= index < len(options) else None


def answer_form(rows: Iterable[tuple[Any, Sequence[str], Sequence[str]]]) -> str | None:
    """How the answers of a whole data set name their options; None where several ways fit, or none does.

    A way has to fit every row. A 0, or the number of the last option, tells counting from 0 and from 1 apart.

    Args:
        rows: Answer, options and their own labels, of each row.
    """
    seen = list(rows)
    fits = [
        form
        for form in ("letter", "text", "index", "number", "one_hot")
        if all(gold_index(answer, options, labels, form) is not None for answer, options, labels in seen)
    ]
    golds = {form: [gold_index(answer, options, labels, form) for answer, options, labels in seen] for form in fits}
    if "text" in fits and all(isinstance(answer, int) for answer, _, _ in seen):
        fits.remove("text")  # a number that is not written as a text is none of the texts
    if "letter" in fits and any(labels for _, _, labels in seen):
        return "letter"
    return fits[0] if fits and all(golds[form] == golds[fits[0]] for form in fits) else None


def _guess(key: str, ranks: Sequence[Sequence[str]], there: Sequence[str], listed: str) -> str | None:
    """The column whose name says that it is `key`. A name of the first rank goes before one of the next."""
    for names in ranks:
        found = [column for column in there if re.sub(r"[\W_]", "", column.casefold()) in names]
        if len(found) > 1:
            raise ConfigError(f"task.columns.{key}: it could be {' or '.join(found)}; say which. {listed}")
        if found:
            return found[0]
    return None


def _option_columns(there: Sequence[str]) -> tuple[str, ...] | None:
    """Columns that hold an option each: a, b, c …; option_a …; choice1 …; A, B, …"""
    marks = {column: match["which"] for column in there if (match := _OPTION.fullmatch(column.casefold()))}
    for usual in (list(string.ascii_lowercase), [str(n) for n in range(1, 27)], [str(n) for n in range(26)]):
        run: list[str] = []
        for mark in usual:
            named = [column for column, which in marks.items() if which == mark]
            if len(named) != 1:
                break
            run += named
        if len(run) >= 2:
            return tuple(run)
    return None


def _several(options: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (options,) if isinstance(options, str) else options or ()


def _blank(value: Any) -> bool:
    return value is None or not str(value).strip()
