"""The column map (`conf/replay/*.yaml`): says which column of a recording is what, and what its methods are called
here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError

FROM_PROMPT = "prompt"
"""`options: prompt`: an item's options are the lettered lines of its prompt."""


@dataclass(frozen=True)
class Columns:
    """Names of the recording's columns; None = it has no such column.

    Attributes:
        query: What behaviour was asked for.
        method: How.
        prompt: The user's message.
        response: The reply.
        behaviour: The recorded score.
        coherence: The recorded score.
        system_prompt: As sent.
        analysis: The judge's own words.
        item: Id of the question; None = derived from the prompt.
        epoch: Number of the repeat; None = order of occurrence among equal samples.
        gold: The right option, as a letter or as the option's text.
        answer: The option that was given, likewise.
        subject: Of the item.
        model: Where a file holds several models.
        strength: Where a file holds several strengths.
    """

    query: str
    method: str
    prompt: str
    response: str
    behaviour: str | None = None
    coherence: str | None = None
    system_prompt: str | None = None
    analysis: str | None = None
    item: str | None = None
    epoch: str | None = None
    gold: str | None = None
    answer: str | None = None
    subject: str | None = None
    model: str | None = None
    strength: str | None = None

    def named(self) -> dict[str, str]:
        """The columns that the recording is said to have: our name of each to the recording's."""
        pairs = ((column.name, getattr(self, column.name)) for column in fields(self))
        return {ours: theirs for ours, theirs in pairs if theirs is not None}


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

    def __post_init__(self) -> None:
        if isinstance(self.options, str) and self.options != FROM_PROMPT:
            raise ConfigError(f"map.options={self.options!r}: choose {FROM_PROMPT}, a list of options, or null")
        if isinstance(self.options, list) and len(self.options) < 2:
            raise ConfigError(f"map.options={self.options!r}: a choice has at least two options")
        if self.answers not in ("read", "recorded"):
            raise ConfigError(f"map.answers={self.answers!r}: choose read or recorded")
        if self.answers == "recorded" and self.columns.answer is None:
            raise ConfigError("map.answers=recorded needs the column of the answers: map.columns.answer=NAME")
        if self.absent not in ("fail", "ignore"):
            raise ConfigError(f"map.absent={self.absent!r}: choose fail or ignore")
        recorded_names: dict[tuple[str, str], str] = {}
        for recorded, arm in self.methods.items():
            if other := recorded_names.get((arm.name, arm.strength)):
                raise ConfigError(
                    f"map.methods: {recorded!r} and {other!r} would both become {arm.name} at strength {arm.strength}"
                )
            recorded_names[arm.name, arm.strength] = recorded
        if self.columns.model is None and not re.fullmatch(r"[\w.+-]+", self.model):
            raise ConfigError(f"map.model={self.model!r}: must be letters, digits and . _ + - only; it names folders")

    def arm(self, recorded: str) -> Arm | None:
        """The method that the recording calls so; None if this map has methods and that is none of them."""
        if not self.methods:
            return Arm(plain_name(recorded), recorded)
        return self.methods.get(recorded)

    def check(self, columns: Sequence[str]) -> None:
        """Refuse a recording that lacks a column of this map.

        Args:
            columns: Those that the recording has.

        Raises:
            ConfigError: With the column, and the nearest that is there.
        """
        for ours, theirs in self.columns.named().items():
            if theirs not in columns:
                near = difflib.get_close_matches(theirs, columns, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(columns)}"
                raise ConfigError(f"map.columns.{ours}={theirs}: the recording has no such column. {hint}")


def plain_name(text: str) -> str:
    """`text` as a short name for folders and tables: lower case, everything else than letters and digits as `_`."""
    return re.sub(r"\W+", "_", text.strip().lower()).strip("_") or "unnamed"


def load_map(name: str, folder: Path, changes: Sequence[str] = ()) -> ColumnMap:
    """The map in a YAML file, after changes.

    Args:
        name: A YAML file, or the name of one in `folder`.
        folder: Of the built-in maps.
        changes: Such as "columns.query=behaviour".

    Raises:
        ConfigError: There is no such file, or it does not fit.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else folder / f"{name}.yaml"
    if not path.is_file():
        names = sorted(file.stem for file in folder.glob("*.yaml"))
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}; or give a YAML file of your own"
        raise ConfigError(f"map={name}: there is no such column map. {hint}")
    try:
        merged = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(changes)))
        node = OmegaConf.to_container(merged, resolve=True)
    except (YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"map={name}: {str(error).splitlines()[0]}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"map={name}: the file holds no settings")
    return build_map({str(key): value for key, value in node.items()})


def build_map(node: Mapping[str, Any]) -> ColumnMap:
    """The map that plain settings describe.

    Raises:
        ConfigError: With the key in full.
    """
    from mindgap.core.build import build

    methods = node.get("methods") or {}
    if not isinstance(methods, Mapping) or not all(isinstance(arm, Mapping) for arm in methods.values()):
        raise ConfigError("map.methods: give for each of the recording's names a mapping with `name:` in it")
    arms = {str(recorded): build(arm, f"map.methods.{recorded}", Arm) for recorded, arm in methods.items()}
    built: ColumnMap = build({**node, "methods": arms}, "map", ColumnMap)
    return built
