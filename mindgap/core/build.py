"""From composed YAML to checked objects.

Every node of the configuration becomes one frozen dataclass: the one its `_target_` names, or the one its group
stands for. The dataclass is the schema: its fields are the keys, its annotations the types, its `__post_init__` the
ranges. Whatever does not fit is a ConfigError that names the key in full and says what would.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import typing
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any

from mindgap.core.errors import ConfigError


def build(node: Mapping[str, Any], path: str, kind: Any = None) -> Any:
    """An object of the class that `node` names by `_target_`, or of `kind`, from the node's other keys.

    path: where the node stands, for messages ("method.interventions.0").
    """
    maker = _target(node["_target_"], path) if "_target_" in node else kind
    if maker is None:
        raise ConfigError(f"{path}: say which class it is, with a `_target_:` line")
    parameters = inspect.signature(maker).parameters
    hints = typing.get_type_hints(maker if is_dataclass(maker) else maker.__init__)
    arguments = {}
    for key, value in node.items():
        if key == "_target_":
            continue
        if key not in parameters:
            raise ConfigError(unknown_key(_join(path, key), parameters))
        arguments[key] = _value(value, hints.get(key, Any), _join(path, key))
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in arguments]
    if missing:
        raise ConfigError(f"{_join(path, missing[0])} is missing: {maker.__name__} needs it")
    try:
        return maker(**arguments)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def unknown_key(path: str, known: Iterable[str]) -> str:
    """Message for a key that does not exist, with the nearest ones that do."""
    parent, _, key = path.rpartition(".")
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"Did you mean {_join(parent, near[0])}?" if near else f"There are: {', '.join(names)}"
    return f"{path}: there is no such setting. {hint}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _target(name: Any, path: str) -> Any:
    module, _, attribute = str(name).rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}._target_: {name} cannot be imported ({error})") from error


def _value(value: Any, hint: Any, path: str) -> Any:
    """`value` as `hint`, nested nodes built."""
    if isinstance(value, Mapping) and "_target_" in value:
        return build(value, path)
    if isinstance(value, Mapping) and is_dataclass(hint):
        return build(value, path, hint)
    if isinstance(value, list) and any(isinstance(one, Mapping) and "_target_" in one for one in value):
        return tuple(_value(one, Any, f"{path}.{number}") for number, one in enumerate(value))
    if isinstance(value, Mapping) and any(isinstance(one, Mapping) and "_target_" in one for one in value.values()):
        return {str(key): _value(one, Any, _join(path, str(key))) for key, one in value.items()}
    if _is_protocol(hint):
        if value is None or not isinstance(value, Mapping):
            raise ConfigError(f"{path}={value!r}: choose one of the group's options, or give a mapping with `_target_`")
        return build(value, path)
    return _plain(value, hint, path)


def _plain(value: Any, hint: Any, path: str) -> Any:
    import pydantic

    if value == [] and typing.get_origin(hint) is tuple:
        return ()
    try:
        return pydantic.TypeAdapter(hint).validate_python(value)
    except pydantic.PydanticSchemaGenerationError as error:  # a list of what only a `_target_` can make
        raise ConfigError(f"{path}={value!r}: give mappings, each with a `_target_:` line") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join([path, *(str(part) for part in first["loc"] if isinstance(part, int))])
        raise ConfigError(f"{where}={first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}") from error


def _is_protocol(hint: Any) -> bool:
    return inspect.isclass(hint) and getattr(hint, "_is_protocol", False)
