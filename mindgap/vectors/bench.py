"""The method, strength and bench of a command line, checked before a model is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mindgap.backends.base import Backend, Capability, SteerableEndpoint
from mindgap.core.build import build
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.steering.bench import SteeringBench
from mindgap.steering.damage import Damage
from mindgap.steering.methods import Method
from mindgap.steering.strength import Strength
from mindgap.storage.store import Store

STORE = Path("outputs/store.sqlite")
"""Where `python -m mindgap` keeps what it has made, so that a study and these commands share it."""


@dataclass(frozen=True)
class Settings:
    """What the command line names."""

    model: ModelSpec
    method: Method
    strength: Strength | Damage
    backend: Backend


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The objects that a composed configuration describes. Raises ConfigError."""
    kinds: dict[str, Any] = {"model": ModelSpec, "method": Method, "strength": Strength | Damage, "backend": Backend}
    made = Settings(**{name: build(config[name], name, kind) for name, kind in kinds.items()})
    if not made.method.steers:
        raise ConfigError(f"method={made.method.name} steers nothing inside the model: choose one that adds vectors")
    return made


@contextmanager
def opened(settings: Settings, needs: frozenset[Capability], seed: int) -> Iterator[SteeringBench]:
    """The bench on which vectors are made and measured; see `opened_model`."""
    with opened_model(settings.model, settings.backend, needs, seed) as bench:
        yield bench


@contextmanager
def opened_model(
    model: ModelSpec, backend: Backend, needs: frozenset[Capability], seed: int
) -> Iterator[SteeringBench]:
    """A bench of a model. Raises UnavailableError where it cannot be opened here, or cannot do what is needed."""
    if missing := backend.lacks(model, needs):
        raise UnavailableError(f"model={model.name} cannot be used here: it lacks {'; '.join(missing)}")
    STORE.parent.mkdir(parents=True, exist_ok=True)
    store = Store(STORE)
    try:
        yield SteeringBench(cast(SteerableEndpoint, backend.open(model)), store, seed)
    finally:
        store.close()
