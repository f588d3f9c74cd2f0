"""The built-in configuration, Hydra to compose it with, and how a Python value is written for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mindgap.core.errors import ConfigError

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

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


def choices_of(overrides: Iterable[str]) -> tuple[str, ...]:
    """Those overrides that choose options of groups, and those of Hydra's own. Hydra must be initialised."""
    return choosing(overrides, _known().groups)


def choosing(overrides: Iterable[str], groups: frozenset[str]) -> tuple[str, ...]:
    """Those overrides that choose options of `groups`, and those of Hydra's own."""

    def chooses(override: str) -> bool:
        key = override.partition("=")[0].lstrip("+~").partition("@")[0]
        return key.partition("/")[0] in groups or key.startswith("hydra.")

    return tuple(filter(chooses, overrides))


def compose_job(overrides: Sequence[str], config_name: str = "config") -> DictConfig:
    """What `hydra.compose` makes of one job's overrides, in a tenth of the time where jobs choose the same options.

    Hydra reads and merges some twenty files for every composition. Options that were chosen before are not composed
    again; the values of a job are put into a copy. Hydra must be initialised.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    choices, known = choices_of(overrides), _known()
    config = known.of(config_name, choices)
    values = known.parsed([override for override in overrides if override not in choices])
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    return config


@dataclass
class _Compositions:
    """What one Hydra has composed and parsed so far.

    Attributes:
        groups: Names of the groups of options, Hydra's own part among them.
        configs: By the file they begin from and the options chosen.
        overrides: By their text.
    """

    groups: frozenset[str]
    configs: dict[tuple[str, tuple[str, ...]], DictConfig] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)

    def of(self, config_name: str, choices: tuple[str, ...]) -> DictConfig:
        """A configuration of the caller's own."""
        from hydra import compose

        key = config_name, choices
        if key not in self.configs:
            self.configs[key] = compose(config_name, overrides=list(choices))
        return deepcopy(self.configs[key])

    def parsed(self, texts: Sequence[str]) -> list[Override]:
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.override_parser.overrides_parser import OverridesParser

        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        new = [text for text in dict.fromkeys(texts) if text not in self.overrides]
        self.overrides |= zip(new, parser.parse_overrides(new), strict=True)
        return [self.overrides[text] for text in texts]


_compositions: WeakKeyDictionary[Hydra, _Compositions] = WeakKeyDictionary()
"""Of every Hydra that this process has initialised and still holds."""


def _known() -> _Compositions:
    """What the Hydra that is initialised has composed so far."""
    from hydra.core.global_hydra import GlobalHydra

    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    if hydra not in _compositions:
        _compositions[hydra] = _Compositions(frozenset({*hydra.config_loader.list_groups(""), "hydra"}))
    return _compositions[hydra]


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
