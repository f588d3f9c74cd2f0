"""Which classes a `_target_` may name, decided before anything of theirs is called.

A YAML file is data: whoever shares one must not be able to run code with it. A `_target_` names a class (or a function
that says which class it returns) of mindgap, of a folder of the user's own (the current one, one on PYTHONPATH, a
package installed from a checkout), or of an installed package that `MINDGAP_ALLOW_TARGETS` names. Nothing of the
standard library can be named.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import typing
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from mindgap.core.characters import shown
from mindgap.core.errors import ConfigError
from mindgap.core.moved import current_name

ALLOW_VARIABLE = "MINDGAP_ALLOW_TARGETS"
"""Environment variable that names installed packages whose classes may be made, with commas between them."""


def target(name: Any, path: str) -> Any:
    """The class or function that a `_target_` names; it is imported, and not called.

    Args:
        name: The dotted name, of this version or an earlier one.
        path: Where the node stands, for messages.

    Raises:
        ConfigError: It may not be named, cannot be imported, or is neither a class nor a function with a return type.
    """
    module, _, attribute = current_name(str(name)).rpartition(".")
    where = f"{path}._target_: {shown(name)}"
    if not module or not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise ConfigError(f"{where} cannot be imported: write package.module.Class")
    _check_allowed(module, where)
    try:
        named = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module of the user's own may raise anything
        raise ConfigError(f"{where} cannot be imported ({type(error).__name__}: {shown(error)})") from error
    if not inspect.isclass(named) and not isinstance(named, FunctionType):
        raise ConfigError(f"{where} is no class that settings could make")
    _check_allowed(str(named.__module__), where)  # what a module has imported is not its own
    return named


def returned(function: FunctionType, where: str) -> type:
    """The class that a function says it returns. Raises ConfigError where it says none."""
    made = hints(function, where).get("return")
    if not inspect.isclass(made):
        raise ConfigError(f"{where} is a function that does not say what it makes: give it a return type, `-> Class`")
    return made


def hints(function: Any, where: str) -> dict[str, Any]:
    """The annotations of a function, resolved. Raises ConfigError where a name in them is not there."""
    try:
        return _hints(function)
    except Exception as error:  # annotations are expressions of the user's own
        raise ConfigError(f"{where}: its annotations cannot be read ({type(error).__name__}: {error})") from error


@cache
def _hints(function: Any) -> dict[str, Any]:
    """Kept, since a sweep makes the same classes for each of its cells."""
    return typing.get_type_hints(function)


def _check_allowed(module: str, where: str) -> None:
    package = module.partition(".")[0]
    if package == __name__.partition(".")[0] or package in _allowed():
        return
    if package in sys.stdlib_module_names or package == "builtins":
        raise ConfigError(f"{where} may not be named: it belongs to Python itself and is no part of an experiment")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None if package not in sys.modules else sys.modules[package].__spec__
    if spec is None and package not in sys.modules:
        raise ConfigError(f"{where} cannot be imported (there is no module {shown(package)!r} here)")
    if _installed(spec, package):
        raise ConfigError(
            f"{where} may not be named: {package} is an installed package, and a configuration could run its code. If "
            f"you trust this one: {ALLOW_VARIABLE}={','.join([*_allowed(), package])}"
        )


def _allowed() -> list[str]:
    return [name.strip() for name in os.environ.get(ALLOW_VARIABLE, "").split(",") if name.strip()]


def _installed(spec: Any, package: str) -> bool:
    """Whether a package lies where installers put packages, and not in a folder of the user's own."""
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    if not places and (file := getattr(sys.modules.get(package), "__file__", None)):
        places = [file]
    return any(_put_there(place) for place in places if place and place not in ("built-in", "frozen", "namespace"))


@cache
def _put_there(place: str) -> bool:
    """Whether an installer put a file or folder where it is."""
    schemes = {Path(path).resolve() for name, path in sysconfig.get_paths().items() if name in ("purelib", "platlib")}
    return any(
        parent in schemes or parent.name in ("site-packages", "dist-packages")
        for parent in Path(place).resolve().parents
    )
