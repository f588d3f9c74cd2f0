"""What of a configuration is not as it is by default: what a person has to know before a study runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindgap.core.compose import composed, config_folder
from mindgap.core.errors import ConfigError
from mindgap.results.cell import BESIDE_CELLS
from mindgap.results.naming import flat

LONGEST = 60
"""Characters of a value that are shown."""


def differing(config: Mapping[str, Any]) -> dict[str, str]:
    """Options and settings, as they would be typed, that are not the defaults; a list is one value.

    Of a group, the option is told, and those settings in which it is not what its YAML says. What method and strength
    are is left out: that is what the cells are named by.

    Args:
        config: Of one cell, resolved, secrets masked.
    """
    folder = config_folder()
    defaults = _defaults(folder)
    options = {
        group: option
        for group, node in config.items()
        if isinstance(node, Mapping) and (option := _option(folder / group, node)) is not None
    }
    try:
        as_chosen = composed([f"{group}={option}" for group, option in options.items()], folder)
    except ConfigError:  # options of the user's own that need others beside them
        as_chosen = composed(["tracker=none"], folder)
    told = {
        group: option
        for group, option in options.items()
        if group not in ("method", "strength", "tracker") and option != defaults.get(group)
    }
    chosen = flat(as_chosen)
    for part, node in config.items():
        if part in {*BESIDE_CELLS, "method", "strength"}:
            continue
        if isinstance(node, Mapping) and part not in options and part != "decoding":
            told[part] = str(node.get("name") or str(node.get("_target_")).rpartition(".")[2])
            continue
        for key, value in flat(node, part).items():
            follows_the_seed = key.endswith(".seed") and value == str(config.get("seed"))
            if value != chosen.get(key) and key not in told and not follows_the_seed:
                told[key] = value
    return {key: value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…" for key, value in told.items()}


def _defaults(folder: Path) -> dict[str, str]:
    """The option of each group that is chosen where nothing else is said."""
    import yaml

    lines = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return {group: option for line in lines if isinstance(line, dict) for group, option in line.items()}


def _option(folder: Path, node: Mapping[str, Any]) -> str | None:
    """The option of a group that `node` was composed from: by its name, else by its class."""
    import yaml

    name = str(node.get("name", ""))
    if name and (folder / f"{name}.yaml").is_file():
        return name
    for path in sorted(folder.glob("*.yaml")):
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(written, dict) and node.get("_target_") and written.get("_target_") == node["_target_"]:
            return path.stem
    return None
