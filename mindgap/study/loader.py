"""Hydra's loader of configurations, which composes jobs that choose the same options once.

Hydra reads and merges some twenty files for every job of a sweep, a fifth of a second; the jobs of most sweeps choose
a handful of options between them, and differ in values.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from mindgap.core.compose import choosing


class JobLoader(ConfigLoaderImpl):
    """Configurations of jobs, as Hydra's own loader makes them."""

    def __init__(self, search_path: ConfigSearchPathImpl) -> None:
        super().__init__(search_path)
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._groups = frozenset(self.list_groups(""))

    @classmethod
    def like(cls, loader: ConfigLoader) -> JobLoader:
        """One that reads from where `loader` does."""
        search_path = loader.get_search_path()
        assert isinstance(search_path, ConfigSearchPathImpl)
        return cls(search_path)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The configuration of one job of the sweep that `master_config` is of."""
        choices = choosing(sweep_overrides, self._groups)
        if choices not in self._composed:
            self._composed[choices] = super().load_sweep_config(master_config, list(choices))
        config = deepcopy(self._composed[choices])
        overrides = OverridesParser.create(config_loader=self).parse_overrides(sweep_overrides)
        values = [override for override in overrides if override.input_line not in choices]
        self._apply_overrides_to_config(values, config)
        own = [override for override in overrides if not override.is_hydra_override()]
        config.hydra.overrides.task = [override.input_line for override in own]
        written = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            own, kv_sep=written.kv_sep, item_sep=written.item_sep, exclude_keys=written.exclude_keys
        )
        return config

    def __getstate__(self) -> dict[str, Any]:
        """For launchers that send their jobs elsewhere: without what was composed here."""
        return {**self.__dict__, "_composed": {}}
