"""The built-in configuration, Hydra to compose it with, and how a Python value is written for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError

SWEEP_VARIABLE = "MINDGAP_SWEEP"
"""Environment variable that the configuration names its sweep by."""

_BARE = re.compile(r"(?!(?:null|true|false|inf|nan)$)[a-z_][\w./-]*", re.IGNORECASE)
"""Texts that Hydra reads as themselves without quotes."""


def config_folder() -> Path:
    """Folder of the built-in configuration: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf" / "config.yaml").is_file() else package.parent / "conf"


_LIKE_A_VALUE = re.compile(
    r"[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[+-]?\d+)?|[+-]?inf|nan|true|false", re.IGNORECASE
)
"""Names that Hydra's grammar would take for a number or a truth value."""


def with_names_quoted(arguments: Iterable[str], folder: Path) -> list[str]:
    """Settings of the command line in which what can only be a name is one: `query_set=2024` is the file `2024.yaml`.

    Args:
        arguments: The command line; other than overrides of groups and of the sweep's name come back as they are.
        folder: The built-in configuration, whose folders are the groups.
    """
    names = {path.name for path in folder.iterdir() if path.is_dir()} | {"sweep"}

    def quoted(argument: str) -> str:
        key, equals, value = argument.partition("=")
        if not equals or key.lstrip("+~").partition("@")[0] not in names:
            return argument
        parts = [_quoted(part.strip()) if _LIKE_A_VALUE.fullmatch(part.strip()) else part for part in value.split(",")]
        return f"{key}={','.join(parts)}"

    return [quoted(argument) for argument in arguments]


@contextmanager
def composing(folder: Path, sweep: str | None = None) -> Iterator[None]:
    """Hydra, ready to compose what is in `folder`.

    Hydra and the environment are one for the whole process. Whatever the caller had of both, inside a notebook or a
    Hydra program of his own, is there again afterwards, however the block ends.

    Args:
        folder: The built-in configuration.
        sweep: Name that the configuration gives its sweep; None = what the environment says, or `none`.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    hydra_before = GlobalHydra.instance().hydra
    sweep_before = os.environ.get(SWEEP_VARIABLE)
    GlobalHydra.instance().clear()
    os.environ[SWEEP_VARIABLE] = sweep or sweep_before or "none"
    try:
        with initialize_config_dir(str(folder), version_base="1.3", job_name="mindgap"):
            yield
    finally:
        GlobalHydra.instance().hydra = hydra_before
        if sweep_before is None:
            del os.environ[SWEEP_VARIABLE]
        else:
            os.environ[SWEEP_VARIABLE] = sweep_before


def composed(overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """The resolved configuration, as a study with these settings would have it.

    Args:
        overrides: Settings as on the command line: `group=option`, `group.key=value`.
        folder: The built-in configuration.

    Raises:
        ConfigError: With a did-you-mean, for what does not exist.
    """
    from hydra import compose
    from omegaconf import OmegaConf

    from mindgap.core.explain import Composing, explain

    try:
        with composing(folder):
            node: Any = OmegaConf.to_container(compose("config", with_names_quoted(overrides, folder)), resolve=True)
    except Composing as mistake:
        raise ConfigError(explain(mistake, folder)) from mistake
    return node


def written(settings: Mapping[str, Any]) -> list[str]:
    """Settings by name as they would be written on the command line.

    A text is read as the command line reads it (`"0.1,0.3"` is two values); a list is the values to sweep over, each
    taken as it is. A value that is itself a list is therefore a list in a list.

    Raises:
        ConfigError: For an empty list, which is no value at all, and for what cannot be written in YAML.
    """
    return [f"{key}={_values(str(key), value)}" for key, value in settings.items()]


def literal(key: str, value: Any) -> str:
    """One value as Hydra's grammar writes it, so that it is read as just that. Raises ConfigError, naming `key`."""
    if value is None:
        return "null"
    if isinstance(value, str | Path):
        text = str(value)
        return text if _BARE.fullmatch(text) else _quoted(text)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{entry}:{literal(key, inside)}" for entry, inside in value.items()) + "}"
    if isinstance(value, Iterable):
        return "[" + ",".join(literal(key, entry) for entry in value) + "]"
    text = str(value).lower()  # booleans, and numbers of any library
    if re.fullmatch(r"true|false|-?(\d|\.\d|inf|nan)[\d.e+-]*", text):
        return text
    raise ConfigError(f"{key}={value!r}: give a text, a number, true or false, None, or a list or dictionary of these")


def _values(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        values = [literal(key, entry) for entry in value]
        if not values:
            raise ConfigError(f"{key}=[]: a list is the values to sweep over, and there are none. For no entries: [[]]")
        return ",".join(values)
    return literal(key, value)


def _quoted(text: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()
