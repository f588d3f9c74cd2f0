"""Reads the arguments of the commands that work on a model's SAE, and builds the model they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindgap.core.errors import ConfigError, did_you_mean
from mindgap.core.model import ModelSpec

MODEL_GROUPS = ("model", "backend")


def read_arguments(
    arguments: Sequence[str], settings: Sequence[str], command: str
) -> tuple[list[str], dict[str, str], ModelSpec]:
    """Plain words, settings by name, and the model.

    Args:
        arguments: The command line.
        settings: Names of the command's own settings.
        command: The module's name, for messages.

    Raises:
        ConfigError: With a did-you-mean, for a setting or a model that does not exist.
    """
    words, plain, config = split_arguments(arguments, settings, command)
    return words, plain, model_of(config)


def split_arguments(
    arguments: Sequence[str], settings: Sequence[str], command: str, groups: Sequence[str] = MODEL_GROUPS
) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """Plain words, settings by name, and the configuration that the settings of `groups` compose.

    Args:
        arguments: The command line.
        settings: Names of the command's own settings.
        command: The module's name, for messages.
        groups: Configuration groups whose options the command takes.

    Raises:
        ConfigError: With a did-you-mean, for what does not exist.
    """
    from mindgap.core.compose import composed, config_folder

    words: list[str] = []
    plain: dict[str, str] = {}
    of_groups: list[str] = []
    folder: Path | None = None
    waiting = iter(arguments)
    for argument in waiting:
        key, equals, value = argument.partition("=")
        if key in ("--config-dir", "-cd"):
            folder = Path(value if equals else next(waiting, ""))
        elif argument.startswith("-"):
            raise ConfigError(f"{argument}: there is no such flag; see python -m mindgap.{command} --help")
        elif not equals or not key.replace(".", "").replace("_", "").isalnum():
            words.append(argument)
        elif key.partition(".")[0] in groups:
            of_groups.append(argument)
        elif key in settings:
            plain[key] = value
        else:
            raise ConfigError(f"{key}: there is no such setting. {did_you_mean(key, [*settings, *groups])}")
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {folder}: there is no such folder")
        of_groups.append(f"hydra.searchpath=[file://{folder.resolve()}]")
    return words, plain, composed(["tracker=none", *of_groups], config_folder())


def model_of(config: dict[str, Any]) -> ModelSpec:
    """The model of a composed configuration."""
    from mindgap.core.build import build

    model: ModelSpec = build(config["model"], "model", ModelSpec)
    return model
