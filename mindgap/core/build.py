"""From composed YAML to checked objects.

Every node of the configuration becomes one frozen dataclass: the one its `_target_` names, or the one its place stands
for. The dataclass is the schema: its fields are the keys, its annotations the types, its `__post_init__` the ranges.
Where the annotation is a Protocol (a judge, a task, a backend, ...), a class that lacks one of its members is refused.
Whatever does not fit is a ConfigError that names the key in full and says what would.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.core.characters import printable, shown
from mindgap.core.errors import ConfigError, MindgapError
from mindgap.core.kinds import lacking, members
from mindgap.core.secrets import learn
from mindgap.core.targets import hints, returned, target

if TYPE_CHECKING:
    import pydantic

LONGEST = 1500
"""Characters of a message; one that is longer quotes what somebody put into a setting."""
DEEPEST = 50
"""Levels of mappings and lists in each other; no setting needs ten."""


def build(node: Mapping[str, Any], path: str, kind: Any = None) -> Any:
    """An object made of a node of the configuration.

    Args:
        node: The settings by name. `_target_`, if it is among them, names the class by its dotted path.
        path: Where the node stands, for messages ("method.interventions.0").
        kind: A Protocol, a class, or a union of them. A class that the node names must have all public members of one;
            where the node names none, a `kind` that is no Protocol is made. None: any class will do, and the node must
            name it.

    Returns:
        The object. Nodes inside the node have become objects too.

    Raises:
        ConfigError: The class cannot be imported or is of another kind; or a setting is unknown, missing, of another
            type, or out of range.
    """
    _refuse_unwritable(node, path)
    learn(node)
    return _built(node, path, None if kind is None else _kinds(kind))


def _refuse_unwritable(node: Any, path: str) -> None:
    """Refuse what no message could name: settings nested too deep to be read, and keys that are no text."""
    waiting = [(node, path, 0)]
    while waiting:
        here, where, depth = waiting.pop()
        if depth > DEEPEST:
            raise ConfigError(f"{shown(path or 'the configuration', 60)} is nested more than {DEEPEST} deep")
        if isinstance(here, Mapping):
            for key, value in here.items():
                if not isinstance(key, str) and "_target_" in here:
                    raise ConfigError(f"{where}: {shown(key)} is no name of a setting")
                waiting.append((value, _join(where, str(key)) if depth < DEEPEST else where, depth + 1))
        elif isinstance(here, list | tuple):
            waiting += [(value, where, depth + 1) for value in here]


def unknown_key(path: str, known: Iterable[str]) -> str:
    """Message for a key that does not exist, with the nearest one that does."""
    path = shown(path)
    parent, _, key = path.rpartition(".")
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"Did you mean {_join(parent, near[0])}?" if near else f"There are: {', '.join(names) or 'none'}"
    return f"{path}: there is no such setting. {hint}"


def _built(node: Mapping[str, Any], path: str, kinds: Sequence[Any] | None) -> Any:
    """The object that `node` describes, of one of `kinds`; None = of any."""
    if "_target_" not in node:
        makers = [kind for kind in kinds or () if is_dataclass(kind) and not _is_protocol(kind)]
        if len(makers) != 1:
            raise ConfigError(f"{path}: say which class it is, with a `_target_:` line")
        return _made(makers[0], node, path)
    maker = target(node["_target_"], path)
    made_by_it = maker if inspect.isclass(maker) else returned(maker, f"{path}._target_: {node['_target_']}")
    # Refused before any code of it runs. The fields of what is no dataclass are there once it is made.
    _check_kind(made_by_it, kinds, node["_target_"], path, verbs_only=not is_dataclass(made_by_it))
    made = _made(maker, node, path)
    if not is_dataclass(made_by_it):
        _check_kind(made, kinds, node["_target_"], path)
    return made


def _made(maker: Any, node: Mapping[str, Any], path: str) -> Any:
    """What `maker`, a class or a function, gives for the settings in `node`."""
    try:
        parameters = _parameters(maker)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}._target_: {node['_target_']} is no class that settings could make") from error
    annotated = maker.__init__ if inspect.isclass(maker) and not is_dataclass(maker) else maker
    hints_of = hints(annotated, f"{path}._target_: {maker.__qualname__}")
    arguments = {}
    for key, value in node.items():
        if key == "_target_":
            continue
        if key not in parameters:
            raise ConfigError(unknown_key(_join(path, key), parameters))
        arguments[key] = _value(value, hints_of.get(key, Any), _join(path, key))
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in arguments]
    if missing:
        raise ConfigError(f"{_join(path, missing[0])} is missing: {maker.__name__} needs it")
    try:
        return maker(**arguments)
    except ValueError as error:
        raise ConfigError(f"{path}: {shown(error, LONGEST)}") from error
    except MindgapError as error:
        if (said := printable(str(error))) == str(error) and len(said) <= LONGEST:
            raise
        raise ConfigError(said if len(said) <= LONGEST else f"{said[:LONGEST]}…") from error  # it quotes a setting
    except Exception as error:  # a class of the user's own may raise anything
        if maker.__module__.partition(".")[0] == __name__.partition(".")[0]:
            raise
        raise ConfigError(
            f"{path}: {maker.__qualname__} could not be made ({type(error).__name__}: {error})"
        ) from error


@cache
def _parameters(maker: Any) -> Mapping[str, inspect.Parameter]:
    """Kept, since a sweep makes the same classes for each of its cells."""
    return inspect.signature(maker).parameters


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _check_kind(made: Any, kinds: Sequence[Any] | None, name: str, path: str, *, verbs_only: bool = False) -> None:
    """Refuse `made`, a class or an object called `name`, unless it is of one of the `kinds`.

    Args:
        verbs_only: Ask for methods alone: a class's fields may be set when an object of it is made.

    Raises:
        ConfigError: With what is needed and what is lacking.
    """
    if kinds is None:
        return
    if not kinds:
        raise ConfigError(f"{path}._target_: {name} cannot stand here, where plain values or a list are needed")
    missing = {kind: lacking(made, kind, verbs_only=verbs_only) for kind in kinds}
    if all(missing.values()):
        kind = min(kinds, key=lambda kind: len(missing[kind]))
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        needed = f"with {_listed(members(kind))}" if _is_protocol(kind) else "or what has all its members"
        raise ConfigError(
            f"{path}._target_: {name} cannot stand here, where {article} {kind.__name__} is needed, {needed}; "
            f"this one lacks {_listed(missing[kind])}"
        )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _value(value: Any, hint: Any, path: str) -> Any:
    """`value` as `hint`, nested nodes built."""
    if _is_node(value):
        return _built(value, path, _kinds(hint))
    if isinstance(value, Mapping) and is_dataclass(hint):
        return build(value, path, hint)
    if isinstance(value, list) and any(_is_node(entry) for entry in value):
        entry_hint = _entry_hint(hint, Sequence)
        return tuple(_value(entry, entry_hint, f"{path}.{number}") for number, entry in enumerate(value))
    if isinstance(value, Mapping) and any(_is_node(entry) for entry in value.values()):
        entry_hint = _entry_hint(hint, Mapping)
        return {str(key): _value(entry, entry_hint, _join(path, str(key))) for key, entry in value.items()}
    if _is_protocol(hint):
        if value is None or not isinstance(value, Mapping):
            raise ConfigError(
                f"{path}={shown(value, quoted=True)}: choose one of the group's options, or give a mapping with "
                "`_target_`"
            )
        return build(value, path)
    return _plain(value, hint, path)


@cache
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    """What checks values of an annotation. Making it takes longer than building a cell."""
    import pydantic

    return pydantic.TypeAdapter(hint)


def _plain(value: Any, hint: Any, path: str) -> Any:
    import pydantic

    if value == [] and typing.get_origin(hint) is tuple:
        return ()
    try:
        return _adapter(hint).validate_python(value)
    except pydantic.PydanticSchemaGenerationError as error:  # a list of what only a `_target_` can make
        raise ConfigError(f"{path}={shown(value, quoted=True)}: give mappings, each with a `_target_:` line") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join([path, *(str(part) for part in first["loc"] if isinstance(part, int))])
        if first["type"] == "string_type" and isinstance(first["input"], bool | int | float):
            said = shown(first["input"])
            said = said.lower() if isinstance(first["input"], bool) else said
            raise ConfigError(
                f"{where}={said}: must be a text; in a YAML file write '{said}', on the command line "
                f"{where}=\"'{said}'\""
            ) from error
        said = f"{first['msg'][0].lower()}{shown(first['msg'][1:], 300)}"
        raise ConfigError(f"{where}={shown(first['input'], quoted=True)}: {said}") from error


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _is_protocol(hint: Any) -> bool:
    return inspect.isclass(hint) and getattr(hint, "_is_protocol", False)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union; of any other annotation, itself."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _kinds(hint: Any) -> tuple[Any, ...] | None:
    """The classes of which an object may stand where `hint` is the annotation; None where it allows any."""
    kinds: list[Any] = []
    for alternative in _alternatives(hint):
        origin = typing.get_origin(alternative) or alternative
        if origin is typing.Literal:
            continue
        if not inspect.isclass(origin) or origin is object:
            return None
        if not issubclass(origin, int | float | str | bytes | Path | Sequence | Mapping | types.NoneType):
            kinds.append(origin)
    return tuple(kinds)


def _entry_hint(hint: Any, container: type) -> Any:
    """The annotation of the entries where `hint` is that of a list (`Sequence`) or mapping (`Mapping`) of them."""
    hints: list[Any] = []
    for alternative in _alternatives(hint):
        origin = typing.get_origin(alternative)
        if inspect.isclass(origin) and issubclass(origin, container):
            arguments = typing.get_args(alternative)
            hints += arguments[-1:] if container is Mapping else [entry for entry in arguments if entry is not ...]
    return typing.Union[tuple(hints)] if hints else Any  # noqa: UP007  (made at run time)
