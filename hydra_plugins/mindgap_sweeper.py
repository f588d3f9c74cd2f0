"""Hydra's basic sweeper, with the jobs of `mindgap.study.grid`.

Hydra takes sweepers from the namespace package `hydra_plugins` alone; what they do is in mindgap. Hydra loads this
file in its own way, in which annotations may not be text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class MindgapSweeperConf(BasicSweeperConf):
    """Settings of the sweeper: those of Hydra's own."""

    _target_: str = "hydra_plugins.mindgap_sweeper.MindgapSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="mindgap", node=MindgapSweeperConf, provider="mindgap")


class MindgapSweeper(BasicSweeper):
    """Every combination of the values given, each setting only where there is something that has it."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See `BasicSweeper`."""
        from mindgap.study.loader import JobLoader

        loader = JobLoader.like(hydra_context.config_loader)
        context = HydraContext(config_loader=loader, callbacks=hydra_context.callbacks)
        super().setup(hydra_context=context, task_function=task_function, config=config)

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """The overrides of each job, in batches of `max_batch_size`."""
        from mindgap.study.grid import grid

        jobs = grid(overrides)
        return [list(batch) for batch in BasicSweeper.split_overrides_to_chunks(jobs, max_batch_size)] if jobs else []

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """See `BasicSweeper`. What Hydra has just saved of the configuration goes, since it may hold secrets."""
        from mindgap.study.jobs import forget_hydras_copy

        assert self.config is not None
        forget_hydras_copy(Path(self.config.hydra.sweep.dir))
        return super().get_job_batch()

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: `grid` and `SweepCallback` have composed every job by now, and built and checked it."""
