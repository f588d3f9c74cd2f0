"""The configuration of a job is the one that Hydra's own loader makes, whichever job came before it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mindgap.core.compose import composing, config_folder
from mindgap.study.loader import JobLoader

JOBS = [
    ["method=vector", "strength=dose", "strength.dose=0.3"],
    ["method=vector", "strength=dose", "strength.dose=0.5", "seed=3"],
    ["method=control", "query_set.queries=[be brief, 'be kind, too']"],
    ["method=vector", "strength=dose", "method.interventions.0.prompts=4", "hydra.job.chdir=false"],
    ["experiment=demo", "task.limit=2", "hydra/launcher=basic", "model=tiny"],
    ["method=control", "+extra.note=a", "++extra.note=b", "~decoding.temperature"],
    ["seed=3", "method=vector", "strength=dose"],
    [],
]


@pytest.fixture
def master() -> Iterator[DictConfig]:
    """A multirun's own configuration, under Hydra."""
    with composing(config_folder(), "one"):
        loader = GlobalHydra.instance().config_loader()
        overrides = ["hydra.sweep.subdir=${hydra.job.override_dirname}", "method=control,vector"]
        config = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        HydraConfig.instance().set_config(config)
        yield config


def whole(config: DictConfig) -> Any:
    """All of it, with the order of keys."""
    return OmegaConf.to_yaml(config, resolve=False)


def test_jobs_are_composed_as_hydra_does(master: DictConfig) -> None:
    loader = GlobalHydra.instance().config_loader()
    own = JobLoader.like(loader)
    for job in [*JOBS, *reversed(JOBS)]:
        expected = loader.load_sweep_config(master, list(job))
        made = own.load_sweep_config(master, list(job))
        assert whole(made) == whole(expected), job
        assert made.hydra.job.override_dirname == expected.hydra.job.override_dirname
        assert OmegaConf.is_struct(made) == OmegaConf.is_struct(expected)
        made.seed, made.hydra.job.num = 99, 7  # a job's own: no other has it


def test_options_are_composed_once(master: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[list[str]] = []
    load = ConfigLoaderImpl.load_sweep_config
    monkeypatch.setattr(
        ConfigLoaderImpl, "load_sweep_config", lambda self, config, job: composed.append(job) or load(self, config, job)
    )
    loader = JobLoader.like(GlobalHydra.instance().config_loader())
    for number in range(5):
        loader.load_sweep_config(master, ["method=control", f"seed={number}"])
    assert composed == [["method=control"]]


def test_it_can_be_sent_to_another_process(master: DictConfig) -> None:
    loader = JobLoader.like(GlobalHydra.instance().config_loader())
    before = len(pickle.dumps(loader))
    first = loader.load_sweep_config(master, ["method=control", "seed=1"])
    assert len(pickle.dumps(loader)) == before
    again = pickle.loads(pickle.dumps(loader)).load_sweep_config(master, ["method=control", "seed=1"])  # noqa: S301
    assert whole(again) == whole(first)
