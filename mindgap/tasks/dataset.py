"""Any data set as a task: rows from a file, a folder or the hub, read as the settings say.

What kind of answer is asked for (`kind`):

| kind | the right answer | what is read from a reply |
|---|---|---|
| choice | one of the options | a letter or an option (`mindgap.tasks.answers`); log-likelihood of the options as well |
| exact | a text, or several of which any will do | the text it settles on (`mindgap.tasks.text_answers`) |
| numeric | a number; of "… #### 42" and of a boxed one, that | the number it settles on, with its unit |
| regex | a text | what `pattern` finds |
| open | none | nothing |
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError, first_line
from mindgap.core.keys import content_key
from mindgap.core.records import Answer, Item, Message
from mindgap.tasks.answers import read_choice
from mindgap.tasks.base import OptionQuestion, TaskSettings, seeded_rank, stratified
from mindgap.tasks.choice import CONTINUATION_SYSTEM, LETTER_SYSTEM, lettered, shuffled
from mindgap.tasks.columns import Columns, answer_form, cell, gold_index, options_of, resolved
from mindgap.tasks.questions import conversation_of
from mindgap.tasks.rows import Row, check_place, is_local, read_rows
from mindgap.tasks.text_answers import Normalise, gold_number, read_number, read_pattern, read_text

KINDS = ("auto", "choice", "exact", "numeric", "regex", "open")
SYSTEMS = {
    "choice": "Answer the multiple-choice question. Explain your choice in one or two sentences, then give the letter "
    "of the right option in answer tags, like this: <answer>letter</answer>",
    "exact": "Answer the question. Give the answer itself, as short as it can be, in answer tags, like this: "
    "<answer>answer</answer>",
    "numeric": "Solve the problem step by step. Then give the final number, and nothing else, in answer tags, like "
    "this: <answer>number</answer>",
    "regex": "",
    "open": "",
}
"""The system prompts where `system` is `auto`. None holds an example that could be read as an answer."""


@dataclass(frozen=True)
class Dataset(TaskSettings):
    """Items of any data set. See `conf/task/dataset.yaml`.

    Attributes:
        path: A file, a folder, or a name on the Hugging Face hub; see `mindgap.tasks.rows`.
        split: Of a folder or a hub name.
        config: Configuration of a hub name, or a folder in the folder.
        columns: Which column is what.
        where: Only rows whose columns hold these.
        kind: What is asked for and read; `auto` = choice where there are options, open where there is no answer,
            numeric where every answer is a number.
        prompt: Jinja template of the question, over the row's columns; empty = the question's column.
        shots: How many worked examples are put before each item.
        shots_from: Split, or file, that they are drawn from; None = this one, whose items then do without them.
        shuffle_options: Put each item's options in a seeded order.
        normalise: What does not count when texts are compared: see `mindgap.tasks.text_answers.Normalise`.
        tolerance: Largest relative difference between equal numbers.
        last_number: Read a reply's last number where it states none.
        pattern: For `regex`: what is read is its first group, or all of it.
    """

    path: str = ""
    split: str = "test"
    config: str | None = None
    columns: Columns = field(default_factory=Columns)
    where: tuple[tuple[str, str | int | bool], ...] | dict[str, str | int | bool] = ()
    kind: str = "auto"
    prompt: str = ""
    shots: int = 0
    shots_from: str | None = None
    shuffle_options: bool = False
    normalise: Normalise = "text"
    tolerance: float = 1e-6
    last_number: bool = False
    pattern: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "where", tuple(dict(self.where).items()))  # tasks can key a dictionary
        if not self.path.strip():
            raise ConfigError("task.path is empty: give a file, a folder, or a data set's name on the hub")
        if self.kind not in KINDS:
            raise ConfigError(f"task.kind={self.kind!r}: choose {', '.join(KINDS)}")
        if self.shots < 0:
            raise ConfigError(f"task.shots must be 0 or more, not {self.shots}")
        if self.shots and self.few_shot:
            raise ConfigError("task.shots and task.few_shot are both set: draw examples, or write them, not both")
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"task.tolerance must be in [0, 1), not {self.tolerance}")
        if (self.kind == "regex") != bool(self.pattern):
            raise ConfigError(
                "task.pattern and task.kind=regex go together: the pattern says what is read from a reply"
            )
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"task.pattern={self.pattern!r} is no regular expression: {error}") from error

    def check(self) -> None:
        """See `Task.check`: reads what is here; a name on the hub is asked for when it is loaded."""
        check_place(self.path)
        if is_local(self.path):
            self.load()
            _examples(self, _stamp(self))

    def load(self) -> tuple[Item, ...]:
        """See `Task.load`."""
        _, items = _items(self, _stamp(self))
        if self.shots and self.shots_from is None:
            examples = {item.id for item in _examples(self, _stamp(self))}
            items = tuple(item for item in items if item.id not in examples)
            if not items:
                raise ConfigError(f"task.shots={self.shots}: no items are left; give task.shots_from, or fewer")
        drawn = stratified(items, self.seed, self.limit)
        return tuple(shuffled(item, self.seed) for item in drawn) if self.shuffle_options else drawn

    def messages(self, item: Item) -> tuple[Message, ...]:
        """See `Task.messages`."""
        kind, _ = _items(self, _stamp(self))
        system = SYSTEMS[kind] if self.system == "auto" else self.system
        user = lettered(item) if kind == "choice" else item.question
        return self._put(item, user, system, "letter" if kind == "choice" else "question", tagged=True)

    def read(self, item: Item, reply: str) -> Answer | None:
        """See `Task.read`."""
        kind, _ = _items(self, _stamp(self))
        if kind == "choice":
            return read_choice(reply, item.options)
        if kind == "numeric":
            return read_number(reply, item.reference, tolerance=self.tolerance, last_number=self.last_number)
        if kind == "regex":
            return read_pattern(reply, re.compile(self.pattern), item.reference, self.normalise)
        return read_text(reply, item.reference, self.normalise) if kind == "exact" else None

    def option_request(self, item: Item, scoring: str) -> OptionQuestion:
        """See `Task.option_request`.

        Raises:
            ConfigError: The items have no options, or `scoring` is neither `continuation` nor `letter`.
        """
        if not item.options:
            raise ConfigError(f"task={self.name}: an item that is no multiple choice has no options to score")
        if scoring == "continuation":
            return self._put(item, item.question, CONTINUATION_SYSTEM, "question", tagged=False), item.options
        if scoring == "letter":
            letters = tuple(string.ascii_uppercase[: len(item.options)])
            return self._put(item, lettered(item), LETTER_SYSTEM, "letter", tagged=False), letters
        raise ConfigError(f"option scoring {scoring!r}: choose continuation or letter")

    def _put(self, item: Item, user: str, system: str, form: str, *, tagged: bool) -> tuple[Message, ...]:
        """The item with the drawn examples before it, answered in the form that is asked for."""
        turns: list[Message] = []
        for example in _examples(self, _stamp(self)) if self.shots else ():
            answer = example.gold_text or ""
            if example.gold is not None and form == "letter":
                answer = string.ascii_uppercase[example.gold]
            asked = lettered(example) if form == "letter" else example.question
            said = f"<answer>{answer}</answer>" if tagged and not self.pattern else answer
            turns += [Message("user", asked), Message("assistant", said)]
        return replace(self, shots=0, few_shot=(*self.few_shot, *turns)).conversation(item, user, system=system)


def _stamp(task: Dataset) -> tuple[Any, ...]:
    """What changes when the files do: a notebook may change them between two studies."""
    stamps = []
    for path in filter(None, (task.path, task.shots_from)):
        place = Path(path).expanduser()
        files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
        stamps += [(str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file()]
    return tuple(stamps)


@lru_cache(maxsize=16)
def _items(task: Dataset, stamp: object) -> tuple[str, tuple[Item, ...]]:
    """The kind, and all items, of a task's data."""
    return _made(task, task.path, read_rows(task.path, task.split, task.config))


@lru_cache(maxsize=16)
def _examples(task: Dataset, stamp: object) -> tuple[Item, ...]:
    """The worked examples of a task: a seeded draw, the same for all items."""
    if not task.shots:
        return ()
    if task.shots_from is None:
        kind, items = _items(task, stamp)
    else:
        file = is_local(task.shots_from)
        path = task.shots_from if file else task.path
        rows = read_rows(path, task.split if file else task.shots_from, task.config)
        kind, items = _made(task, path, rows)
    if kind == "open":
        raise ConfigError("task.shots: open prompts have no answers that examples could show; write task.few_shot")
    drawn = sorted(items, key=lambda item: seeded_rank(task.seed, "shot", item.id))[: task.shots]
    if len(drawn) < task.shots:
        raise ConfigError(f"task.shots={task.shots}: there are only {len(drawn)} items to draw them from")
    return tuple(drawn)


def _made(task: Dataset, path: str, rows: Sequence[Row]) -> tuple[str, tuple[Item, ...]]:
    """Kind and items of rows. Raises ConfigError with the row's place."""
    there = list(dict.fromkeys(column for row in rows for column in row.values))
    columns = resolved(task.columns, there, path)
    rows = _kept(task, rows, there, path)
    kind = _kind(task, columns, rows, path)
    if kind != "open" and columns.answer is None:
        raise ConfigError(f"task.columns.answer: say which column holds it; {path} has {', '.join(there)}")
    if kind == "choice" and columns.options is None:
        raise ConfigError(f"task.columns.options: say which hold the options; {path} has {', '.join(there)}")
    form = _form(columns, rows, path) if kind == "choice" else ""
    items, ids, texts = [], set(), Counter[str]()
    for row in rows:
        try:
            item = _item(task, row.values, columns, kind, form)
        except ValueError as error:
            raise ConfigError(f"task.path={path}: {row.place}: {error}. Its columns: {', '.join(there)}") from error
        if not item.id:
            key = content_key("item of a data set", asked=item.asked, options=item.options, answer=item.gold_text)
            texts[key] += 1
            item = replace(item, id=f"{key[:12]}{f'-{texts[key]}' if texts[key] > 1 else ''}")
        if item.id in ids:
            raise ConfigError(f"task.path={path}: {row.place}: the id {item.id!r} is there twice; ids tell items apart")
        ids.add(item.id)
        items.append(item)
    return kind, tuple(items)


def _kept(task: Dataset, rows: Sequence[Row], there: Sequence[str], path: str) -> Sequence[Row]:
    """The rows that `task.where` asks for."""
    wanted = dict(task.where)
    if unknown := [column for column in wanted if column.partition(".")[0] not in there]:
        raise ConfigError(f"task.where.{unknown[0]}: there is no such column; {path} has {', '.join(there)}")
    kept = [row for row in rows if all(str(cell(row.values, c)) == str(value) for c, value in wanted.items())]
    if not kept:
        raise ConfigError(f"task.where={wanted}: no row of {path} is like that")
    return kept


def _kind(task: Dataset, columns: Columns, rows: Sequence[Row], path: str) -> str:
    """The task's kind, told from the data where it is not said."""
    if task.kind != "auto":
        return task.kind
    if columns.options is not None:
        return "choice"
    if columns.answer is None:
        return "open"
    if all(gold_number(str(cell(row.values, columns.answer))) is not None for row in rows):
        return "numeric"
    first = cell(rows[0].values, columns.answer)
    raise ConfigError(
        f"task.kind: {path} has answers without options ({columns.answer}: {str(first)!r:.60}), and not all are "
        "numbers; say exact, numeric, regex or open"
    )


def _form(columns: Columns, rows: Sequence[Row], path: str) -> str:
    """How the answers name their options."""
    if columns.answer_is != "auto":
        return columns.answer_is
    seen = []
    for row in rows:
        try:
            listed = options_of(row.values, columns.options or "")
        except ValueError as error:
            raise ConfigError(
                f"task.path={path}: {row.place}: {error}. Its columns: {', '.join(row.values)}"
            ) from error
        seen.append((cell(row.values, columns.answer or ""), *listed))
    if form := answer_form(seen):
        return form
    # Most rows tell the form; one that does not fit is then named by its line, not a whole data set refused.
    counts = {form: sum(gold_index(*entry, form) is not None for entry in seen) for form in ("letter", "text", "index")}
    best = max(counts, key=lambda form: counts[form])
    if len(seen) / 2 < counts[best] < len(seen) and list(counts.values()).count(counts[best]) == 1:
        return best
    answer, options, _ = seen[0]
    raise ConfigError(
        f"task.columns.answer_is: no telling how {columns.answer} names the right option (first: {answer!r} of "
        f"{', '.join(map(repr, options))}); say index (from 0), number (from 1), letter or text"
    )


def _item(task: Dataset, values: Mapping[str, Any], columns: Columns, kind: str, form: str) -> Item:
    """The item of a row; without an id where the data have none. Raises ValueError in words for the user."""
    asked = cell(values, columns.question or "")
    turns = conversation_of(asked) if isinstance(asked, list) else ()
    question = turns[-1].content if turns else asked
    if task.prompt:
        question = _rendered(task.prompt, values)
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"column {columns.question!r} holds no question but {question!r:.60}")
    options: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    gold = None
    answer = cell(values, columns.answer) if columns.answer else None
    if kind == "choice":
        options, labels = options_of(values, columns.options or "")
        gold = gold_index(answer, options, labels, form)
        if gold is None:
            raise ValueError(f"column {columns.answer!r} holds {answer!r}, which names none of its options by {form}")
    elif kind != "open":
        reference = _reference(answer, kind, columns.answer or "")
    identity = _short(values, columns.id)
    if columns.id and not identity:
        raise ValueError(f"column {columns.id!r} is empty")
    return Item(
        identity, question.strip(), _short(values, columns.subject), options, gold, turns[:-1], reference=reference
    )


def _reference(answer: Any, kind: str, column: str) -> tuple[str, ...]:
    """The right answers in words."""
    listed = [str(entry).strip() for entry in (answer if isinstance(answer, list) else [answer]) if entry is not None]
    if not listed or not all(listed):
        raise ValueError(f"column {column!r} holds no answer")
    if kind != "numeric":
        return tuple(listed)
    numbers = [gold_number(entry) for entry in listed]
    if None in numbers:
        raise ValueError(f"column {column!r} holds {listed[numbers.index(None)]!r:.60}, which is no number")
    return tuple(number for number in numbers if number is not None)


def _short(values: Mapping[str, Any], column: str | None) -> str:
    value = cell(values, column) if column else None
    return "" if value is None else str(value).strip()


def _rendered(template: str, values: Mapping[str, Any]) -> str:
    """The template over the row's columns, in a sandbox. Raises ValueError in words for the user."""
    import jinja2

    try:
        return _compiled(template).render(dict(values))
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise ValueError(f"task.prompt cannot be filled in ({first_line(error)})") from error


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined).from_string(template)
