"""Whether a class or an object has all that a Protocol asks for, told without running any of its code."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any


def members(kind: type) -> list[str]:
    """Names of the public fields, properties and methods of a Protocol or class: its own first, then inherited ones."""
    bases = [base for base in kind.__mro__ if base is not object and base.__module__ != "typing"]
    names = [name for base in bases for name in (*inspect.get_annotations(base), *vars(base))]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def lacking(thing: Any, kind: type, *, verbs_only: bool = False) -> list[str]:
    """The members of `kind` that `thing` does not have; a method must be there as something that can be called.

    Args:
        thing: An object, or a class whose objects are meant. Properties are not read: some load a model.
        kind: A Protocol or a class.
        verbs_only: Look for its methods, and not for its fields.
    """
    if kind in (thing if inspect.isclass(thing) else type(thing)).__mro__:
        return []
    if hasattr(type(thing), "__getattr__"):  # it makes its members as they are asked for
        return []
    field_names = {field.name for field in fields(thing)} if is_dataclass(thing) else set()
    wanted = [name for name in members(kind) if not verbs_only or inspect.isfunction(getattr(kind, name, None))]
    return [name for name in wanted if name not in field_names and not _has(thing, name, kind)]


def _has(thing: Any, name: str, kind: type) -> bool:
    absent = object()
    member = inspect.getattr_static(thing, name, absent)
    if member is absent:
        return False
    descriptors = property | cached_property | staticmethod | classmethod
    return not inspect.isfunction(getattr(kind, name, None)) or callable(member) or isinstance(member, descriptors)
