"""Configurations that earlier versions saved, or that name classes by earlier names, still mean the same classes."""

from __future__ import annotations

import importlib

import pytest

from mindgap.core.build import build
from mindgap.core.errors import ConfigError
from mindgap.core.moved import MOVED, current_name, with_current_names
from mindgap.steering.methods import Method
from mindgap.steering.vectors import DifferenceInMeans
from mindgap.tasks.queries import QuerySet

NAMES_IN_0_1_0 = (
    "mindgap.backends.base.ModelSpec",
    "mindgap.backends.goodfire.GoodfireBackend",
    "mindgap.backends.litellm.LiteLLMBackend",
    "mindgap.backends.local.LocalBackend",
    "mindgap.backends.replay.ReplayBackend",
    "mindgap.judges.auto.AutoJudge",
    "mindgap.judges.llm.LLMJudge",
    "mindgap.judges.panel.PanelJudge",
    "mindgap.judges.proxy.ProxyJudge",
    "mindgap.methods.Method",
    "mindgap.queries.QuerySet",
    "mindgap.records.Decoding",
    "mindgap.steering.agentic.Agentic",
    "mindgap.steering.autosteer.AutoSteer",
    "mindgap.steering.features.Features",
    "mindgap.steering.random_features.RandomFeatures",
    "mindgap.steering.strength.Dose",
    "mindgap.steering.strength.Native",
    "mindgap.steering.strength.Scaled",
    "mindgap.steering.vectors.DifferenceInMeans",
    "mindgap.steering.vectors.RandomDirection",
    "mindgap.sweep.SweepCallback",
    "mindgap.tasks.mmlu.Mmlu",
    "mindgap.tasks.mmlu.MmluPaper",
    "mindgap.tasks.questions.ChoiceQuestions",
    "mindgap.tasks.questions.OpenQuestions",
    "mindgap.tracking.NoTracker",
    "mindgap.tracking.WandbTracker",
    "mindgap.tracking.base.NoTracker",
    "mindgap.config.Experiment",
    "mindgap.sae.train.TrainSettings",
    "mindgap.replay.columns.Arm",
    "mindgap.replay.columns.ColumnMap",
    "mindgap.replay.columns.Columns",
)
"""Every class of 0.1.0 that a configuration could name."""


@pytest.mark.parametrize("name", [*NAMES_IN_0_1_0, *MOVED.values()])
def test_every_name_leads_to_a_class_of_that_name(name: str) -> None:
    module, _, attribute = current_name(name).rpartition(".")
    assert getattr(importlib.import_module(module), attribute).__name__ == name.rpartition(".")[2]


def test_a_present_name_is_nobodys_old_one() -> None:
    assert not MOVED.keys() & set(MOVED.values())


def test_a_configuration_with_earlier_names_builds_what_it_always_built() -> None:
    intervention = {"_target_": "mindgap.steering.vectors.DifferenceInMeans", "depth": 0.5}
    node = {"_target_": "mindgap.methods.Method", "name": "v", "label": "V", "interventions": [intervention]}
    method = build(node, "method", Method)
    assert isinstance(method, Method)
    assert method.interventions == (DifferenceInMeans(depth=0.5),)
    assert build({"_target_": "mindgap.queries.QuerySet", "name": "q", "queries": ["be funny"]}, "query_set", QuerySet)


def test_a_mistake_in_an_earlier_name_is_named_as_it_was_written() -> None:
    with pytest.raises(ConfigError, match=r"method\._target_: mindgap\.methods\.Methd cannot be imported"):
        build({"_target_": "mindgap.methods.Methd"}, "method")


def test_all_names_inside_a_saved_configuration_are_renamed_and_nothing_else() -> None:
    saved = {
        "model": {"_target_": "mindgap.backends.base.ModelSpec", "name": "mindgap.methods.Method"},
        "method": {"interventions": [{"_target_": "mindgap.steering.vectors.RandomDirection", "depth": 0.5}]},
        "judge": {"members": {"a": {"_target_": "my.own.Judge", "inner": [{"_target_": "mindgap.queries.QuerySet"}]}}},
        "seed": 3,
        "note": None,
    }
    renamed = with_current_names(saved)
    assert renamed["model"] == {"_target_": "mindgap.core.model.ModelSpec", "name": "mindgap.methods.Method"}
    assert renamed["method"] == saved["method"]
    inner = {"_target_": "mindgap.tasks.queries.QuerySet"}
    assert renamed["judge"] == {"members": {"a": {"_target_": "my.own.Judge", "inner": [inner]}}}
    assert (renamed["seed"], renamed["note"]) == (3, None)
    assert saved["model"]["_target_"] == "mindgap.backends.base.ModelSpec", "the saved one is left as it is"
    assert with_current_names(renamed) == renamed
