"""The built-in configuration, and a group's options composed outside a sweep, for the smaller commands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError


def config_folder() -> Path:
    """Folder of the built-in configuration: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf" / "config.yaml").is_file() else package.parent / "conf"


def composed(overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """The resolved configuration, as a study with these settings would have it.

    Args:
        overrides: Settings as on the command line: `group=option`, `group.key=value`.
        folder: The built-in configuration.

    Raises:
        ConfigError: With a did-you-mean, for what does not exist.
    """
    os.environ.setdefault("MINDGAP_SWEEP", "none")  # the configuration names its sweep by it; there is none here
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from mindgap.core.explain import UserMistake, explain

    try:
        with initialize_config_dir(str(folder), version_base="1.3", job_name="mindgap"):
            node: Any = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    except UserMistake as mistake:
        raise ConfigError(explain(mistake, folder)) from mistake
    return node
