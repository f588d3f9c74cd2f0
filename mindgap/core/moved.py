"""Old dotted names of classes, and where these classes are now.

Every sweep saves the `_target_` paths of its classes in its cells' `config.yaml`, and users write them in files of
their own. Both outlive a move of the modules: `build` and whoever reads a saved configuration look names up here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOVED: Mapping[str, str] = {
    # moved after 0.1.0
    "mindgap.backends.base.ModelSpec": "mindgap.core.model.ModelSpec",
    "mindgap.methods.Method": "mindgap.steering.methods.Method",
    "mindgap.queries.QuerySet": "mindgap.tasks.queries.QuerySet",
    "mindgap.records.Decoding": "mindgap.core.records.Decoding",
    "mindgap.config.Experiment": "mindgap.study.experiment.Experiment",
    "mindgap.sweep.SweepCallback": "mindgap.study.sweep.SweepCallback",
    "mindgap.replay.columns.Arm": "mindgap.results.imports.columns.Arm",
    "mindgap.replay.columns.ColumnMap": "mindgap.results.imports.columns.ColumnMap",
    "mindgap.replay.columns.Columns": "mindgap.results.imports.columns.Columns",
    "mindgap.sae.train.TrainSettings": "mindgap.training.settings.TrainSettings",
}
"""The name of an earlier version: the name now. A class that moves again gets its new name in every line that ends
there."""


def current_name(name: str) -> str:
    """The present dotted name of what `name` named in an earlier version; any other name as it is."""
    return MOVED.get(name, name)


def with_current_names(config: Any) -> Any:
    """A copy of `config` (mappings, lists and plain values) in which every `_target_` has its present name."""
    if isinstance(config, Mapping):
        return {
            key: current_name(value) if key == "_target_" and isinstance(value, str) else with_current_names(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return [with_current_names(entry) for entry in config]
    return config
