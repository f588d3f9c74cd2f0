"""Refuse what cannot run while nothing is spent, and say what could."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import TypeVar

from mindgap.backends.base import Backend, Capability
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.steering.damage import Damage
from mindgap.storage.store import Store
from mindgap.study.experiment import Experiment
from mindgap.tasks.trials import SelfScoring

Setting = TypeVar("Setting")


def check(experiments: Sequence[Experiment]) -> None:
    """Raise for the first kind of trouble among `experiments`, all models that share it in one message."""
    for experiment in experiments:
        if experiment.task.instruction_mode not in ("add", "replace"):
            raise ConfigError(f"task.instruction_mode={experiment.task.instruction_mode!r}: choose add or replace")
    _check_backends(experiments)
    for task in _distinct(experiment.task for experiment in experiments):
        task.check()
    for experiment in experiments:
        _ = experiment.declarations  # a task that scores items itself knows only now what it measures
    for measure in _distinct(measure for experiment in experiments for measure in experiment.measures.values()):
        missing: list[str] = measure.lacks() if hasattr(measure, "lacks") else []
        if missing:
            raise UnavailableError(f"measures: {measure.name} cannot be measured here: it lacks {'; '.join(missing)}")
    for judge in _distinct(experiment.judge for experiment in experiments):
        if missing := judge.lacks():
            raise UnavailableError(
                f"judge={judge.name} cannot run here: it lacks {'; '.join(missing)}. judge=proxy needs no key"
            )


def check_writable(experiment: Experiment) -> None:
    """Open the store and make the folder of the sweep. Raises UnavailableError where one of them cannot be."""
    Store(experiment.store).close()
    try:
        (experiment.outputs / experiment.sweep).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"outputs={experiment.outputs}: nothing can be written there ({error.strerror}). "
            "Choose another folder: outputs=DIR"
        ) from error


def needs_of(experiment: Experiment) -> frozenset[Capability]:
    """What a backend must be capable of for method, strength and task."""
    needs = experiment.method.needs
    if isinstance(experiment.strength, Damage) and experiment.method.steers:
        needs |= experiment.strength.needs
    if isinstance(experiment.task, SelfScoring):
        needs |= {"text", "loglikelihood"}
    return needs


def _check_backends(experiments: Sequence[Experiment]) -> None:
    """One message a model: which backends could run the methods asked for, and what each lacks here."""
    messages = []
    for model in dict.fromkeys(experiment.model for experiment in experiments):
        of_model = [experiment for experiment in experiments if experiment.model == model]
        lines: list[str] = []
        said: set[str] = set()
        for experiment in of_model:
            if lacking := experiment.backend.lacks(model, needs_of(experiment)):
                said.update(lacking)
                lines.append(f"  method={experiment.method.name}: lacks {_sentence(lacking)}")
        if not lines:
            continue
        needs: frozenset[Capability] = frozenset().union(*map(needs_of, of_model))
        lines = list(dict.fromkeys(lines))
        head = f"model={model.name} cannot run on backend={of_model[0].backend.name}:"
        others = [
            _could(backend, model, needs, said)
            for backend in _all_backends()
            if backend.name != of_model[0].backend.name
        ]
        messages.append("\n".join([head, *lines, " other backends:", *others]))
    if messages:
        messages.append("model=tiny works here now: python -m mindgap method=autosteer,prompt model=tiny -m")
        raise UnavailableError("\n".join(messages))


def _distinct(settings: Iterable[Setting]) -> list[Setting]:
    """Each once, by equality: a user's own class need not be hashable."""
    distinct: list[Setting] = []
    for setting in settings:
        if setting not in distinct:
            distinct.append(setting)
    return distinct


def _could(backend: Backend, model: ModelSpec, needs: frozenset[Capability], said: Set[str]) -> str:
    """What a backend lacks; what was said of the chosen one already is not said again."""
    lacking = backend.lacks(model, needs)
    new = [part for part in lacking if part not in said]
    if not lacking:
        return f"  backend={backend.name}: could run it"
    also = [] if len(new) == len(lacking) else ["what is said above"]
    return f"  backend={backend.name}: lacks {_sentence([*also, *new])}"


def _all_backends() -> list[Backend]:
    from mindgap.backends.goodfire import GoodfireBackend
    from mindgap.backends.litellm import LiteLLMBackend
    from mindgap.backends.local import LocalBackend
    from mindgap.backends.vllm import VllmBackend

    return [LocalBackend(), VllmBackend(), GoodfireBackend(), LiteLLMBackend()]


def _sentence(parts: Sequence[str]) -> str:
    return "; ".join(parts)
