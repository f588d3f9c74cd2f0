"""Run a Hugging Face causal LM on this machine. Importing this module loads no torch; opening a model does."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from mindgap.backends.base import Capability
from mindgap.backends.local.files import files_lack, files_of, named_adapter_lacks, stamp_of
from mindgap.backends.local.memory import fits_beside, memory_lacks
from mindgap.backends.local.reader import Reader
from mindgap.backends.local.shelf import Shelf
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, Message, OptionScores, OptionsRequest, Request

if TYPE_CHECKING:
    from mindgap.backends.local.chat import Chat
    from mindgap.backends.local.engine import Engine

ENGINE_VERSION = 1
"""Part of every content key. Raise it when a change alters what the engine answers."""

CAN: frozenset[Capability] = frozenset({"generate", "loglikelihood", "text", "residual"})


@dataclass(frozen=True)
class LocalBackend:
    """`backend=local`: transformers on this machine's CPU or GPU.

    Attributes:
        device: auto, cpu, cuda, cuda:1 …
        dtype: auto (float32 on a CPU, bfloat16 on a GPU), float32, bfloat16 or float16.
        max_rows: Most requests in one batch; null = 64 on a CPU, 256 on a GPU. Memory may lower it.
    """

    device: str = "auto"
    dtype: str = "auto"
    max_rows: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise ConfigError(f"backend.dtype={self.dtype!r}: choose auto, float32, bfloat16 or float16")
        if self.max_rows is not None and self.max_rows < 1:
            raise ConfigError(f"backend.max_rows must be at least 1, not {self.max_rows}")

    @property
    def name(self) -> str:
        return "local"

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """See `Backend.lacks`."""
        missing = []
        if absent := [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]:
            missing.append(f"the packages {' and '.join(absent)}: pip install 'mindgap[local]'")
        from mindgap.backends.local.embedded import embedded_model_lacks, packaged_of

        missing += embedded_model_lacks(packaged=packaged_of(model)) if model.embedded else lacks_weights(model)
        missing += named_adapter_lacks(model)
        missing += memory_lacks(model, device=self.device, dtype=self.dtype)
        missing += lacks_settings(model)
        if "features" in needs:
            missing += lacks_sae(model)
        return missing

    def open(self, model: ModelSpec) -> LocalEndpoint:
        """Load the model, or hand out the one that this process has loaded already."""
        if missing := self.lacks(model, frozenset()):
            raise UnavailableError(f"backend=local cannot run model={model.name}: it lacks {'; '.join(missing)}")
        key = (self, model)
        fits = partial(fits_beside, model, device=self.device, dtype=self.dtype)
        return _shelf().get(key, lambda: _open(self, model), fits=fits, stamp=partial(stamp_of, model))


@cache
def _shelf() -> Shelf[LocalEndpoint]:
    """The models that this process has open."""
    return Shelf()


def _open(backend: LocalBackend, model: ModelSpec) -> LocalEndpoint:
    from mindgap.backends.local.engine import Engine
    from mindgap.backends.local.load import load
    from mindgap.backends.local.packed_linear import pack
    from mindgap.backends.local.trial import tried
    from mindgap.sae.releases import load_sae

    loaded = load(model, device=backend.device, dtype=backend.dtype)
    on_cpu = next(loaded.model.parameters()).device.type == "cpu"
    pack(loaded.model)
    engine = Engine(
        loaded.model,
        loaded.tokenizer,
        max_rows=backend.max_rows or (64 if on_cpu else 256),
        open_sae=partial(load_sae, model.sae) if model.sae else None,
        template=model.template,
    )
    engine.way = tried(engine, loaded.identity)
    can: frozenset[Capability] = CAN | {"features"} if model.sae else CAN
    return LocalEndpoint(engine, identity_of(loaded.identity, engine.chat), can, model)


def identity_of(weights: str, chat: Chat) -> str:
    """What the local engine is called in content keys.

    Args:
        weights: Which ones, and their numeric type.
        chat: How prompts are made.
    """
    return f"local{ENGINE_VERSION}/{weights}{chat.identity}"


@dataclass(frozen=True)
class LocalEndpoint(Reader):
    """A loaded model. One thread at a time.

    Whether it has an SAE says `can`; the SAE is opened when something of it is asked for.
    """

    engine: Engine
    identity: str
    can: frozenset[Capability] = CAN
    model: ModelSpec | None = None

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Endpoint.generate`."""
        from mindgap.backends.local.session import generate

        return generate(self.engine, requests)

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        from mindgap.backends.local.scoring import loglikelihood

        return loglikelihood(self.engine, requests)

    def render(self, messages: Sequence[Message]) -> str:
        """See `TextEndpoint.render`."""
        return self.engine.chat.render(messages)


def lacks_sae(model: ModelSpec) -> list[str]:
    """What is missing to read features of the model, for `Backend.lacks`."""
    if model.sae is None:
        return [f"an SAE for model={model.name}: name one in model.sae"]
    from mindgap.sae.releases import sae_lacks

    return sae_lacks(model.sae)


def lacks_settings(model: ModelSpec) -> list[str]:
    """What the chat template lacks of the settings that the model's YAML gives it."""
    from mindgap.backends.local.embedded import packaged_folder
    from mindgap.backends.local.template import settings_lack

    folder = packaged_folder(model) if model.embedded else files_of(model)
    return settings_lack(model.template, folder) if folder is not None else []


def lacks_weights(model: ModelSpec) -> list[str]:
    """What stands between a model that is not embedded and this machine: its id, its files."""
    return ["a Hugging Face id or folder (model.hf_id)"] if model.hf_id is None else files_lack(model)
