"""From what was typed to the overrides of each job, as people mean them and not only as Hydra reads them.

- A setting that an option does not have leaves that option alone where another option of the same sweep has it:
  `method=control,vector method.vector.depth=0.3,0.5` is one cell of control and two of vector.
- An intervention is addressed by name: `method.vector.depth` is `method.interventions.0.depth` where that intervention
  is what `conf/method/vector.yaml` consists of, or is of a class called `Vector`.
- A setting that a class has and the YAML does not show is set like any other, without a plus.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mindgap.core.compose import choices_of, compose_job
from mindgap.core.errors import ConfigError
from mindgap.core.targets import target

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

METHOD_FIELDS = ("name", "label", "instruction", "instruction_in", "asking", "interventions", "_target_")


def grid(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of each distinct job of a sweep, every combination of values, the last one changing fastest.

    Hydra must be initialised.

    Raises:
        ConfigError: A setting is there in none of the options of its group that are swept over.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    (jobs,) = BasicSweeper.split_arguments(list(overrides), None)
    swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
    had: dict[str, bool] = {}
    fitted: dict[tuple[str, ...], None] = {}
    compose = lru_cache(_options)
    for job in jobs:
        kept = []
        for override, fits in _fitted(job, compose):
            key = override.partition("=")[0]
            had[key] = had.get(key, False) or fits is not None
            if fits is not None:
                kept.append(fits)
            elif key.partition(".")[0] not in swept:
                kept.append(override)  # Hydra says what is wrong with it
        fitted[tuple(kept)] = None
    for key, anywhere in had.items():
        if not anywhere and (group := key.partition(".")[0]) in swept:
            raise ConfigError(f"{key}: no {group} of this sweep has such a setting{_hint(key, jobs, compose)}")
    return [list(job) for job in fitted]


def left_to_jobs(overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep, those inside a group that is swept over written as sweeps over their one value.

    Hydra then leaves them to the jobs, and does not look for them in the option that the group has by default.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = {override.key_or_group for override in parsed if override.is_sweep_override()}
    return [
        text.replace("=", "=choice(", 1) + ")"
        if override.key_or_group.partition(".")[0] in swept and not override.is_sweep_override()
        else text
        for text, override in zip(overrides, parsed, strict=True)
    ]


def fitted(overrides: Sequence[str]) -> list[str]:
    """The overrides of one job, as `grid` has them; those that fit nothing stay as they are."""
    return [override if fits is None else fits for override, fits in _fitted(overrides, lru_cache(_options))]


def _fitted(job: Sequence[str], compose: Any) -> list[tuple[str, str | None]]:
    """Each override, and the same as it has to be written; None where nothing has such a setting."""
    choices = choices_of(job)
    pairs: list[tuple[str, str | None]] = []
    for override in job:
        key, _, value = override.partition("=")
        if not _below_a_group(override) or key[0] in "+~":
            pairs.append((override, override))
            continue
        place = _place(compose(choices), key.split("."))
        pairs.append((override, None if place is None else f"{place}={value}"))
    return pairs


def _below_a_group(override: str) -> bool:
    """Whether an override sets something inside an option, and does not choose one."""
    key = override.partition("=")[0]
    return "." in key and not key.lstrip("+~").startswith("hydra")


def _options(choices: tuple[str, ...]) -> Any:
    """The configuration of these options, as they are written."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose_job(choices), resolve=False)


def _place(config: Mapping[str, Any], parts: Sequence[str]) -> str | None:
    """Where the setting stands, in Hydra's words; None where it stands nowhere."""
    node: Any = config
    path: list[str] = []
    for number, part in enumerate(parts):
        if isinstance(node, list):
            if not part.isdecimal() or int(part) >= len(node):
                return None
            path, node = [*path, part], node[int(part)]
        elif not isinstance(node, Mapping):
            return ".".join([*path, *parts[number:]])  # a value that holds nothing: Hydra says so
        elif part in node:
            path, node = [*path, part], node[part]
        elif path == ["method"] and (index := _intervention(node, part)) is not None:
            path, node = [*path, "interventions", str(index)], node["interventions"][index]
        elif part in _parameters(node.get("_target_"), ".".join(path)):
            return "+" + ".".join([*path, *parts[number:]])
        else:
            return None
    return ".".join(path)


def _intervention(method: Mapping[str, Any], name: str) -> int | None:
    """Which of the method's interventions goes by `name`; None where none does. Raises ConfigError for several."""
    if name in METHOD_FIELDS:
        return None
    found = [
        index
        for index, intervention in enumerate(method.get("interventions") or [])
        if isinstance(intervention, Mapping) and name in _names(str(intervention.get("_target_")))
    ]
    if len(found) > 1:
        places = " or ".join(f"method.interventions.{index}" for index in found)
        raise ConfigError(f"method.{name}: the method has {len(found)} of them; write {places}")
    return found[0] if found else None


def _names(target_name: str) -> set[str]:
    """What an intervention of a class may be called: the class, and methods that consist of one such alone."""
    cls = target_name.rpartition(".")[2]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls).lower()
    return {cls, snake, snake.replace("_", ""), *_methods_of(target_name)}


def _methods_of(target_name: str) -> list[str]:
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    loader = GlobalHydra.instance().config_loader()
    names = []
    for option in loader.get_group_options("method"):
        for source in loader.get_sources():
            if not source.available() or not source.is_config(f"method/{option}"):
                continue
            config = OmegaConf.to_container(source.load_config(f"method/{option}").config, resolve=False)
            interventions = (config.get("interventions") if isinstance(config, dict) else None) or [{}]
            first = interventions[0] if isinstance(interventions, list) and len(interventions) == 1 else {}
            if isinstance(first, dict) and first.get("_target_") == target_name:
                names.append(option)
    return names


def _parameters(target_name: Any, path: str) -> Sequence[str]:
    if target_name is None:
        return ()
    try:
        return tuple(inspect.signature(target(target_name, path)).parameters)
    except (ConfigError, TypeError, ValueError):  # building the cell says what is wrong with the class
        return ()


def _hint(key: str, jobs: Sequence[Sequence[str]], compose: Any) -> str:
    """What could have been meant, from the first job that has anything of the kind."""
    from mindgap.core.explain import nearest

    known: dict[str, None] = {}
    for job in jobs:
        config = compose(choices_of(job))
        group = key.partition(".")[0]
        node = config.get(group)
        if isinstance(node, Mapping):
            known |= dict.fromkeys(f"{group}.{name}" for name in node if name != "_target_")
            for number, intervention in enumerate(node.get("interventions") or []):
                if isinstance(intervention, Mapping):
                    inside = [name for name in intervention if name != "_target_"]
                    known |= dict.fromkeys(f"{group}.interventions.{number}.{name}" for name in inside)
    return f". {nearest(key, list(known))}" if known else ""
