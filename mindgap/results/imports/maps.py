"""Reads a column map from a YAML file, and changes of it from the command line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError
from mindgap.results.imports.columns import Arm, ColumnMap


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
        merged = OmegaConf.merge(OmegaConf.create(_read_yaml(path)), OmegaConf.from_dotlist(list(changes)))
        node = OmegaConf.to_container(merged, resolve=False)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"map={name}: {str(error).splitlines()[0]}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"map={name}: the file holds no settings")
    return build_map({str(key): value for key, value in node.items()})


def _read_yaml(path: Path) -> Any:
    """What the file holds, keys as they are written there: `off:` and `0.50:` are names of methods."""
    import yaml

    class KeysAsWritten(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
        keys = [
            key.value if isinstance(key, yaml.ScalarNode) else str(loader.construct_object(key))
            for key, _ in node.value
        ]
        if repeated := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.YAMLError(
                f"{path.name}, line {node.start_mark.line + 1}: the key {repeated!r} stands there twice"
            )
        return {
            key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)
        }

    KeysAsWritten.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return yaml.load(path.read_text(encoding="utf-8-sig"), KeysAsWritten) or {}


def build_map(node: Mapping[str, Any]) -> ColumnMap:
    """The map that plain settings describe.

    Raises:
        ConfigError: With the key in full.
    """
    from mindgap.core.build import build

    methods = node.get("methods") or {}
    if not isinstance(methods, Mapping) or not all(isinstance(arm, Mapping) for arm in methods.values()):
        raise ConfigError("map.methods: give for each of the recording's names a mapping with `name:` in it")
    arms = {str(recorded): build(_texts(arm), f"map.methods.{recorded}", Arm) for recorded, arm in methods.items()}
    plain = {key: _text(value) if key in _TEXTS else value for key, value in node.items()}
    for key in ("columns", "constants"):
        if isinstance(plain.get(key), Mapping):
            plain[key] = _texts(plain[key])
    built: ColumnMap = build({**plain, "methods": arms}, "map", ColumnMap)
    return built


_TEXTS = ("source", "model", "judge", "task", "reference", "rows")


def _texts(node: Mapping[str, Any]) -> dict[str, Any]:
    """`node` with numbers as the texts they stand for: a column or a constant may be called 2024, a strength be 0.5."""
    return {key: _text(value) for key, value in node.items()}


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return str(value) if isinstance(value, int | float) else value
