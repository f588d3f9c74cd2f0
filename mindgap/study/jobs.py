"""From a composed configuration to the jobs that Hydra will run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mindgap.core.compose import compose_job, composing, config_folder, literal
from mindgap.core.errors import ConfigError
from mindgap.core.explain import Composing, explain
from mindgap.study.grid import fitted, grid

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration without Hydra's own part, resolved. Raises ConfigError for a reference to nothing."""
    from omegaconf.errors import OmegaConfBaseException

    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]) if "hydra" in config else config
    try:
        resolved = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    assert isinstance(resolved, dict)
    _check_writable(resolved, "")
    return {str(key): value for key, value in resolved.items()}


def _check_writable(value: Any, path: str) -> None:
    """Refuse what the files of a study cannot hold. Raises ConfigError."""
    if isinstance(value, Mapping | list):
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, entry in entries:
            _check_writable(key, path)
            _check_writable(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, bytes):
        raise ConfigError(f"{path}: is binary data; write text, a number, true or false, null, or a list of these")
    elif isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        raise ConfigError(f"{path}: holds half of a surrogate pair, which is no character: {value[:40]!r}")


def forget_hydras_copy(folder: Path) -> None:
    """Remove `multirun.yaml`, the configuration that Hydra's sweepers save with its secrets; cells have it masked."""
    (folder / "multirun.yaml").unlink(missing_ok=True)


def sweeps_plainly(config: DictConfig) -> bool:
    """Whether all jobs are known beforehand: ours and Hydra's basic sweeper run every combination, others choose."""
    return str(config.hydra.sweeper._target_).endswith(("BasicSweeper", "MindgapSweeper"))


def compose_jobs(config: DictConfig) -> list[DictConfig]:
    """The configurations that Hydra's sweeper is about to run; of sweepers that choose as they go, the base one."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    typed, name = list(config.hydra.overrides.task), str(config.hydra.job.config_name)
    try:
        if not sweeps_plainly(config):
            return [compose_job(fitted(typed), name)]
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        return [compose_job(job, name) for job in _jobs(config, parser.parse_overrides(typed))]
    except Composing as mistake:
        raise ConfigError(explain(mistake, config_folder())) from mistake


def _jobs(config: DictConfig, parsed: Sequence[Override]) -> list[list[str]]:
    """The overrides of each job of the sweeper that the configuration names.

    Args:
        config: With Hydra's own part, in which an experiment may declare what is swept over.
        parsed: What was typed beside it.

    Raises:
        ConfigError: There is no job.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    declared = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = [*parser.parse_overrides(declared), *parsed]
    if str(config.hydra.sweeper._target_).endswith("BasicSweeper"):
        (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    else:
        batch = grid(overrides)
    if not batch:
        raise ConfigError("this sweep has no jobs: one of its ranges or lists of values is empty")
    return [list(job) for job in batch]


def jobs_of(
    overrides: Sequence[str], config_dir: Path | None = None, *, sweep: str | None = None
) -> list[dict[str, Any]]:
    """The resolved configurations that overrides stand for, as `python -m mindgap OVERRIDES -m` would run them.

    Args:
        overrides: As on the command line; several values of one make a sweep.
        config_dir: A folder of the user's own YAML files.
        sweep: Name of the sweep where no override gives one.

    Raises:
        ConfigError: For what does not exist or cannot be read, with a did-you-mean.
    """
    from hydra import compose
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    search = [f"hydra.searchpath=[{literal('config_dir', f'file://{config_dir.resolve()}')}]"] if config_dir else []
    folder = config_folder()
    try:
        with composing(folder, sweep):
            parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
            parsed = parser.parse_overrides([*overrides, *search])
            single = [override for override in parsed if not override.is_sweep_override()]
            choices = [str(override.input_line) for override in single if "." not in override.key_or_group]
            choices += [str(override.input_line) for override in single if override.is_hydra_override()]
            whole = compose("config", overrides=choices, return_hydra_config=True)
            return [plain(compose_job(job)) for job in _jobs(whole, parsed)]
    except Composing as mistake:
        raise ConfigError(explain(mistake, folder)) from mistake
