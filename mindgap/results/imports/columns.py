"""The column map (`conf/replay/*.yaml`): says which column of a recording is what, and what its methods are called
here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mindgap.core.errors import ConfigError, did_you_mean
from mindgap.results.imports.names import plain_name
from mindgap.results.imports.scales import ScaleMap, read_scale

FROM_PROMPT = "prompt"
"""`options: prompt`: an item's options are the lettered lines of its prompt."""


@dataclass(frozen=True)
class Columns:
    """Names of the recording's columns; None = it has no such column.

    A name may lead inside a column by a dotted path (`scores.behaviour`, `choices.0.text`), and hold what the file's
    name says (`{trait}`, a group of `map.pattern`).

    Attributes:
        query: What behaviour was asked for.
        method: How.
        prompt: The user's message, or the conversation as a list of messages.
        response: The reply, likewise.
        behaviour: The recorded score.
        coherence: The recorded score.
        system_prompt: As sent; None = that of the conversation.
        analysis: The judge's own words.
        item: Id of the question; None = derived from the prompt.
        epoch: Number of the repeat; None = order of occurrence among equal samples.
        gold: The right option, as a letter, as the option's text, or as its place (`map.gold_is`).
        answer: The option that was given, likewise.
        options: The row's own list of options.
        loglik: Log-probabilities of the options, in their order.
        subject: Of the item.
        model: Where a file holds several models.
        strength: Where a file holds several strengths; 0 = unsteered.
    """

    query: str | None = None
    method: str | None = None
    prompt: str | None = None
    response: str | None = None
    behaviour: str | None = None
    coherence: str | None = None
    system_prompt: str | None = None
    analysis: str | None = None
    item: str | None = None
    epoch: str | None = None
    gold: str | None = None
    answer: str | None = None
    options: str | None = None
    loglik: str | None = None
    subject: str | None = None
    model: str | None = None
    strength: str | None = None

    def named(self) -> dict[str, str]:
        """The columns that the recording is said to have: our name of each to the recording's."""
        pairs = ((column.name, getattr(self, column.name)) for column in fields(self))
        return {ours: theirs for ours, theirs in pairs if theirs is not None}


FIELDS = tuple(column.name for column in fields(Columns))
"""What a recording may say of a response."""


@dataclass(frozen=True)
class Arm:
    """One method of the recording, as it is called here.

    Attributes:
        name: Short name, for folders and tables.
        label: For people; None = `name`.
        asks: Whether its system prompt is meant to ask for the behaviour; None = not known, and then it is not checked.
        strength: Label of the strength; `none` for a method that steers nothing.
    """

    name: str
    label: str | None = None
    asks: bool | None = None
    strength: str = "none"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.name):
            raise ConfigError(f"map.methods: the name {self.name!r} must be letters, digits and . _ + - only")

    @property
    def title(self) -> str:
        """What people read."""
        return self.label or self.name


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "answers": ("read", "recorded"),
    "absent": ("fail", "ignore"),
    "gold_is": ("text", "index", "number"),
    "no_query": ("every", "leave"),
    "repeats": ("epochs", "duplicates"),
}


@dataclass(frozen=True)
class ColumnMap:
    """How to read one kind of recording.

    Attributes:
        source: Where the recording comes from, for people.
        columns: Which column is what.
        model: Short name of the model.
        judge: Who gave the recorded scores.
        task: Name of the task.
        methods: The recording's name of each method, and what it is here; empty = names are kept.
        options: `prompt` (lettered lines of the prompt), a list of options, or None for open-ended items.
        mmlu: Folder or hub name of MMLU, to look up subject and gold answer by the question's text; None = no lookup.
        answers: `read` from the response by our own rules, or `recorded`, from the column `answer`.
        absent: What becomes of a (query, item) that other methods have and this one lacks: `fail` = a failed sample,
            counted as missing; `ignore`.
        constants: What all rows have in common, by field: `{method: control}`.
        scale: Worst and best recorded score, `[0, 100]`, or by metric `{behaviour: [0, 2]}`; scores are converted to 1
            to 5. None = they are on 1 to 5.
        pattern: Regular expression for names of files; its named groups say fields, or what stands in braces in the
            names of columns: `(?P<model>.*)_(?P<method>.*)\\.csv`.
        wide: Regular expression for names of columns that hold several responses a row: the group `column` says what
            becomes of the name, the others say fields: `(?P<column>behaviour|response)_(?P<method>.*)`.
        rows: Key under which a JSON file has its rows; None = where they are to be found.
        delimiter: Between the fields of a CSV file; None = comma, semicolon or tab, as its header has it.
        gold_is: What a gold answer or an answer that is a number means: `text` of an option, `index` from 0, `number`
            from 1; None = text, and refused where it may as well be an index.
        no_query: What becomes of rows without a query: `every` = they count under each query of the recording, as
            unsteered replies may; `leave` = left out. None = left out, unless a whole method would vanish.
        repeats: What equal rows are: `epochs`, or `duplicates`, counted once. None = epochs where every sample has as
            many rows and they are not all alike.
        reference: The recording's name of the method that others are compared with; None = control, unsteered,
            baseline, none or original, whichever there is.
    """

    source: str
    columns: Columns
    model: str
    judge: str
    task: str = "recorded"
    methods: dict[str, Arm] = field(default_factory=dict)
    options: str | list[str] | None = None
    mmlu: str | None = None
    answers: str = "read"
    absent: str = "fail"
    constants: dict[str, str] = field(default_factory=dict)
    scale: Any = None
    pattern: str | None = None
    wide: str | None = None
    rows: str | None = None
    delimiter: str | None = None
    gold_is: str | None = None
    no_query: str | None = None
    repeats: str | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) is not None and value not in choices:
                raise ConfigError(f"map.{name}={value!r}: choose {', '.join(choices[:-1])} or {choices[-1]}")
        self._check_shape()
        read_scale(self.scale)
        if self.columns.options is not None and self.options is not None:
            raise ConfigError("map.options and map.columns.options both say the options: give one of them")
        if isinstance(self.options, str) and self.options != FROM_PROMPT:
            raise ConfigError(f"map.options={self.options!r}: choose {FROM_PROMPT}, a list of options, or null")
        if isinstance(self.options, list) and len(self.options) < 2:
            raise ConfigError(f"map.options={self.options!r}: a choice has at least two options")
        if self.answers == "recorded" and self.columns.answer is None:
            raise ConfigError("map.answers=recorded needs the column of the answers: map.columns.answer=NAME")
        recorded_names: dict[tuple[str, str], str] = {}
        for recorded, arm in self.methods.items():
            if other := recorded_names.get((arm.name, arm.strength)):
                raise ConfigError(
                    f"map.methods: {recorded!r} and {other!r} would both become {arm.name} at strength {arm.strength}"
                )
            recorded_names[arm.name, arm.strength] = recorded
        if self.columns.model is None and not re.fullmatch(r"[\w.+-]+", self.model):
            raise ConfigError(f"map.model={self.model!r}: must be letters, digits and . _ + - only; it names folders")

    def _check_shape(self) -> None:
        for name, pattern in (("pattern", self.pattern), ("wide", self.wide)):
            try:
                groups = set(re.compile(pattern).groupindex) if pattern is not None else None
            except re.error as error:
                raise ConfigError(f"map.{name}={pattern}: no regular expression ({error})") from error
            if name == "wide" and groups is not None and "column" not in groups:
                raise ConfigError(f"map.wide={pattern}: needs a group (?P<column>…), which says what the value is")
        for key in self.constants:
            if key not in FIELDS:
                raise ConfigError(f"map.constants.{key}: there is no such field. {did_you_mean(key, FIELDS)}")
            if getattr(self.columns, key) is not None:
                raise ConfigError(f"map.constants.{key}: map.columns.{key} says it already")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ConfigError(f"map.delimiter={self.delimiter!r}: must be one character")

    @property
    def scales(self) -> ScaleMap:
        """Worst and best recorded score of each metric."""
        return read_scale(self.scale)

    def arm(self, recorded: str, name: str | None = None) -> Arm | None:
        """The method that the recording calls so; None if this map has methods and that is none of them.

        Args:
            recorded: The recording's name.
            name: Our own where the map says none; None = the plain name.
        """
        if not self.methods:
            return Arm(name or plain_name(recorded), recorded)
        return self.methods.get(recorded)
