r"""Reads which option a generated reply settles on, without ever guessing.

What counts as an answer, tried in this order; the first kind that is there at all decides:

1. `<answer>…</answer>`, any case and spacing. A tag that is never closed ends with its line.
2. LaTeX's `\boxed{…}`.
3. A statement: "answer", "option" or "choice", with "the" or "my" before it or at the start of a line, then "is", ":"
   or "=", to the end of the line, or the next line that is not empty; "I choose"; or "B is correct" as a sentence.
   "I think the answer is B" is one; "the answer is not B", "is the answer B?" and "a wrong answer is B" are none.
4. The first line, if it is a letter with exactly its option's text, and no other line names another option.
5. The whole reply, if it is nothing but a label.

Clauses that rule options out ("the others (A, C, D) are wrong") are taken off statements first; an option that is ruled
out is no answer.

Each has to hold one *label*: a letter (`B`, `(b)`, `**B**`, `Option B`), the exact text of an option, or a letter
followed by its option's text (`B. Paris`). Where options are letters themselves, a letter is the label, as asked.
Outside tags a letter alone must be a capital, so that the article "a" is none. If several labels are found they must
agree. Finished reasoning (`<thinking>…</thinking>`) is not read. Everything else is unparsed, with one of the reasons
below.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

from mindgap.core.records import Answer
from mindgap.tasks.answer_marks import (
    REASONING_START,
    TAG,
    after_reasoning,
    boxed,
    without_ruled_out,
    without_unseen,
)

EMPTY_REPLY = "empty reply"
NO_ANSWER = "no answer tag and no clear statement"
ONLY_REASONING = "reasoning without an answer after it"
EMPTY_TAG = "empty answer tag"
CUT_OFF = "cut off inside the answer tag"
NOT_AN_OPTION = "not an option"
SEVERAL = "several different answers"
DISAGREE = "letter and option text disagree"

_HALF_TAG = re.compile(r"<[\s/]*[a-z]*\s*\Z", re.I)
_STATEMENT = re.compile(
    r"(?:(?<!\bnot )(?<!\bif )(?<!\bwhether )\b(?:the|my)\s+|^[\s*_#>-]*)"
    r"(?:(?:final|correct|right|best)\s+)*(?:answer|option|choice)(?:\s+to\s+(?:the|this)\s+question)?"
    r"\s*[*_]*\s*(?:\bis\b|:|=)[ \t:*_]*(?P<held>[^\n]*)",
    re.I | re.M,
)
_CHOOSES = re.compile(
    r"(?:^|(?<=[.!?:,]\s))[\s*_]*(?:(?:so|thus|therefore|hence),?\s+)?i(?:'ll|'d|’ll|’d|\s+will|\s+would)?\s+"
    r"(?:choose|pick|select|go\s+with)\s*:?[ \t*_]*(?P<held>[^\n]*)",
    re.I | re.M,
)
_CORRECT = re.compile(
    r"(?:^|(?<=[.!?:]\s))[\s*_>-]*(?i:(?:so|thus|therefore|hence|clearly|i\s+(?:think|believe)(?:\s+that)?|only),?\s+)*"
    r"(?P<held>(?i:(?:the\s+)?(?:option|choice|answer)\s+)?[*_]*[(\[]?(?<!\w)[A-Z](?!\w)[^.!?;\n]*?)[*_]*"
    r"\s+(?i:is|must\s+be|has\s+to\s+be)\s+(?i:the\s+)?[*_]*"
    r"(?i:correct|right|best)(?i:\s+(?:answer|option|choice|one))?[*_]*(?=(?P<after>[^\n]*))",
    re.M,
)
_DOUBT = re.compile(
    r"\b(?:wrong|incorrect|not\s+(?:the\s+)?(?:correct|right)|actually|wait|mistake|second thought)\b", re.I
)
_QUALIFIED = re.compile(r"\b(?:but|however|although|though|yet|only|if|unless|except|also|too)\b|\?", re.I)
# Case is ignored in the words alone: under it a class of letters also matches the Turkish "İ" and "ı", which are none.
_LETTER = re.compile(r"(?i:(?:the\s+)?(?:option|choice|answer|letter)\b(?:\s+is\b)?[\s:]*)?[(\[]?([A-Za-z])[)\]]?")
_SEPARATOR = re.compile(r"\s*[.):,/|&\u2013\u2014-]+\s*|\s+")
_LISTED = re.compile(r"^\W*[A-Z][.):]", re.M)
_SMALL_LETTER = re.compile(r"[\s*_]*[a-z](?:[^\w)\]]|$)")
_SENTENCE_END = re.compile(r"(?<=[.!;])[\s*_]+")
_REASON = re.compile(r"[\s,]+(?:because|since|as)\b")
_PLACEHOLDER = re.compile(r"(?:the |your )?(?:letter|answer)(?: here)?|\.\.\.|[a-z](?:\s*[/|,]\s*(?:or )?[a-z]){2,}")


def read_choice(reply: str, options: Sequence[str]) -> Answer:
    """The option that `reply` settles on.

    Args:
        reply: What the model said.
        options: Their texts; the first 26 have letters.

    Returns:
        An index into `options`, or unparsed with one of this module's reasons.
    """
    reply = without_unseen(reply)
    if not reply.strip():
        return Answer(None, EMPTY_REPLY)
    text = after_reasoning(reply)
    if not text.strip():
        return Answer(None, ONLY_REASONING)
    if tags := list(TAG.finditer(text)):
        return _read_tags(tags, options)
    if REASONING_START.search(text):
        return Answer(None, ONLY_REASONING)
    if re.search(r"<\s*a[a-z]*\s*\Z", text, re.I):
        return Answer(None, CUT_OFF)
    if boxes := boxed(text):
        return _agreed([read_label(box, options) for box in boxes])
    text, ruled_out = without_ruled_out(text, options)
    answer = _read_words(text, options)
    if answer.choice is not None and _letter(answer.choice) in ruled_out:
        return Answer(None, SEVERAL)
    return answer


def _read_words(text: str, options: Sequence[str]) -> Answer:
    """The option of a reply without tags and boxes."""
    statements = [_read_held(text, match, options) for match in _STATEMENT.finditer(text)]
    statements += [_read_statement(match["held"], options) for match in _CHOOSES.finditer(text)]
    statements += _read_correct(text, options)
    if answers := [answer for answer in statements if answer.unparsed != NOT_AN_OPTION]:
        return _agreed(answers)
    first, _, rest = text.strip().partition("\n")
    if not statements and rest.strip() and (named := _letter_and_text(first, options)) is not None:
        unclear = _names_other(rest, named, options) or _DOUBT.search(rest)
        return Answer(None, NO_ANSWER) if unclear else Answer(named)
    if statements or rest or _small_letter(text, options):
        return Answer(None, NO_ANSWER)
    whole = read_label(text, options)
    return Answer(None, NO_ANSWER) if whole.unparsed == NOT_AN_OPTION else whole


def _read_held(text: str, match: re.Match[str], options: Sequence[str]) -> Answer:
    """What a statement holds: on its line, or where that is empty on the next that is not.

    A label below "the answer is:" may be the first of all options: it counts where no later line names another.
    """
    if _plain(match["held"]):
        return _read_statement(match["held"], options)
    line, _, rest = text[match.end() :].strip().partition("\n")
    answer = read_label(line, options)
    if answer.choice is None or not rest.strip():
        return _read_statement(line, options)
    return Answer(None, NOT_AN_OPTION) if _names_other(rest, answer.choice, options) else answer


def _read_correct(text: str, options: Sequence[str]) -> list[Answer]:
    """The labels that sentences such as "B is correct" name, unless they go on with an exception."""
    answers = []
    for match in _CORRECT.finditer(text):
        sentence = re.split(r"[.!;]", match["after"], maxsplit=1)[0]
        if _QUALIFIED.search(sentence + match["after"][len(sentence) : len(sentence) + 1]):
            continue
        answers.append(read_label(match["held"], options))
    return answers


def _letter_and_text(line: str, options: Sequence[str]) -> int | None:
    """The option that a line names by its letter and exactly its text; None if it does not."""
    plain = _plain(re.sub(r"^\s*#+\s*", "", line))
    letter = _LETTER.match(plain)
    gap = _SEPARATOR.match(plain, letter.end()) if letter else None
    if not letter or not gap or not letter[1].isupper():
        return None
    choice = _option(letter[1], options).choice
    return choice if choice is not None and _same(plain[gap.end() :], options[choice]) else None


def _names_other(text: str, choice: int, options: Sequence[str]) -> bool:
    """Whether a line of `text` begins as one of a list does with another letter, or is another option's text."""
    for line in text.splitlines():
        listed = re.match(r"[\s*_>#-]*[(\[]?([A-Z])(?:[.):\]]|\s*$|[*_]+)", line)
        if listed and listed[1] != _letter(choice) and listed[1] in _letters(options):
            return True
        if any(_same(line, option) for place, option in enumerate(options) if place != choice and _plain(line)):
            return True
    return False


def read_label(text: str, options: Sequence[str]) -> Answer:
    """The option that `text` names, where it is nothing but a label in the sense of this module."""
    plain = _plain(text)
    if not plain:
        return Answer(None, EMPTY_TAG)
    letter = _LETTER.match(plain)
    if letter and letter.end() == len(plain):
        return _option(letter[1], options)
    if indices := [index for index, option in enumerate(options) if _same(plain, option)]:
        return Answer(indices[0]) if len(indices) == 1 else Answer(None, SEVERAL)
    gap = _SEPARATOR.match(plain, letter.end()) if letter else None
    if not letter or not gap:
        return Answer(None, NOT_AN_OPTION)
    text = plain[gap.end() :]
    if (bracketed := re.match(r"[(\[]([^()\[\]]+)[)\]]", text)) and not any(
        _begins(text, option) for option in options
    ):
        text = bracketed[1] + text[bracketed.end() :]
    return _letter_with_text(letter[1], text, options)


def _letter_with_text(letter: str, text: str, options: Sequence[str]) -> Answer:
    """`B. Paris`, also with more words after it: they may name neither another letter nor another option."""
    lettered = _option(letter, options)
    if equal := [index for index, option in enumerate(options) if _same(text, option)]:
        return lettered if lettered.choice in equal else Answer(None, DISAGREE)
    if lettered.choice is None:
        return lettered
    beginning = [index for index, option in enumerate(options) if _begins(text, option)]
    if not beginning:
        return Answer(None, SEVERAL if _names_letter(text, options, start=True) else NOT_AN_OPTION)
    longest = max(beginning, key=lambda index: len(options[index]))  # "New York City" is not "New York"
    if longest != lettered.choice:
        return Answer(None, DISAGREE)
    rest = _after(text, options[longest])
    others = [option for index, option in enumerate(options) if index != longest]
    several = _names_letter(rest, options, start=False) or any(_mentions(rest, option) for option in others)
    return Answer(None, SEVERAL) if several else lettered


def _read_tags(tags: Sequence[re.Match[str]], options: Sequence[str]) -> Answer:
    """What all tags agree on. Empty ones and echoes of the instruction count only where there is nothing else."""
    readable, fallback = [], Answer(None, EMPTY_TAG)
    for tag in tags:
        held, after = tag["held"], ""
        if not tag["close"]:
            held, _, after = _HALF_TAG.sub("", held).strip().partition("\n")
        answer = Answer(None, SEVERAL) if _LISTED.search(after) else read_label(held, options)
        if answer.unparsed == EMPTY_TAG and not tag["close"]:
            answer = Answer(None, CUT_OFF)
        if answer.unparsed in (EMPTY_TAG, CUT_OFF) or _PLACEHOLDER.fullmatch(_plain(held).casefold()):
            fallback = answer
        else:
            readable.append(answer)
    return _agreed(readable) if readable else fallback


def _read_statement(line: str, options: Sequence[str]) -> Answer:
    """The label that the rest of a statement's line holds: all of it, its first sentence, or up to a "because"."""
    if line.rstrip(" *_").endswith("?"):
        return Answer(None, NOT_AN_OPTION)
    if _small_letter(line, options):
        return Answer(None, NOT_AN_OPTION)
    whole = read_label(line, options)
    if whole.unparsed == EMPTY_TAG:
        return Answer(None, NOT_AN_OPTION)
    if whole.unparsed != NOT_AN_OPTION:
        return whole
    for end in (_SENTENCE_END, _REASON):
        head = end.split(line, maxsplit=1)[0]
        answer = read_label(head, options)
        if answer.choice is not None:
            letters = set(re.findall(rf"\b[{_letters(options)}]\b(?!\s+[a-z])", line[len(head) :]))
            others = letters - {_letter(answer.choice)}
            return Answer(None, SEVERAL) if others else answer
    return whole


def _small_letter(text: str, options: Sequence[str]) -> bool:
    """Whether `text` starts with a bare small letter: the article, or too weak a sign."""
    return bool(_SMALL_LETTER.match(text)) and not any(_same(text, option) for option in options)


def _agreed(answers: Sequence[Answer]) -> Answer:
    return answers[0] if len({answer.choice for answer in answers}) == 1 else Answer(None, SEVERAL)


def _option(letter: str, options: Sequence[str]) -> Answer:
    """The option with this letter, one of A to Z in either case."""
    index = string.ascii_uppercase.index(letter.upper())
    return Answer(index) if index < len(options) else Answer(None, NOT_AN_OPTION)


def _names_letter(text: str, options: Sequence[str], *, start: bool) -> bool:
    """Whether `text` lists a letter after "or", "and", a comma or a slash, or at its start where asked."""
    before = r"\b(?:or|and|nor)\s+|[/,&]\s*" + ("|^" if start else "")
    return bool(re.search(rf"(?:{before})[(\[]?[{_letters(options)}][)\]]?(?:\W|$)", text))


def _letters(options: Sequence[str]) -> str:
    """The labels in use, as the inside of a character class."""
    return string.ascii_uppercase[: len(options)] or "A"


def _letter(choice: int) -> str:
    """The label of option `choice`; empty beyond the 26th, which has none."""
    return string.ascii_uppercase[choice : choice + 1]


def _plain(text: str) -> str:
    """`text` without markup, and without the quotes and closing punctuation around it."""
    text = re.sub(r"</?[a-z]+>|\*\*|__|`", "", unicodedata.normalize("NFKC", text))
    text = " ".join(text.split()).strip(" *_$\"'\u2018\u2019\u201c\u201d")
    return text.rstrip(".!,;: *_$") or text


def _same(text: str, option: str) -> bool:
    return _plain(text).casefold() == _plain(option).casefold()


def _begins(text: str, option: str) -> bool:
    """Whether `text` starts with the whole of `option`."""
    text, option = _plain(text).casefold(), _plain(option).casefold()
    return text.startswith(option) and not text[len(option) : len(option) + 1].isalnum()


def _after(text: str, option: str) -> str:
    """What stands in `text` behind the `option` that it begins with; other case may be other length ("ß", "SS")."""
    text, option = _plain(text), _plain(option).casefold()
    end = next(end for end in range(len(text) + 1) if len(text[:end].casefold()) >= len(option))
    return text[end:]


def _mentions(text: str, option: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(_plain(option))}(?!\w)", _plain(text), re.I))
