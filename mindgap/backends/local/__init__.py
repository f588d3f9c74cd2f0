"""Run a Hugging Face causal LM on this machine. Importing this module loads no torch; opening a model does."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from mindgap.backends.base import Capability, Point
from mindgap.backends.local.files import files_lack, files_of, stamp_of
from mindgap.backends.local.memory import fits_beside, memory_lacks
from mindgap.backends.local.shelf import Shelf
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, Message, OptionScores, OptionsRequest, Request

if TYPE_CHECKING:
    from torch import Tensor

    from mindgap.backends.local.engine import Engine
    from mindgap.sae.catalogue import Catalogue
    from mindgap.sae.sae import SAE

ENGINE_VERSION = 1
"""Part of every content key. Raise it when a change alters what the engine answers."""

CAN: frozenset[Capability] = frozenset({"generate", "loglikelihood", "residual"})


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

        missing += embedded_model_lacks(packaged=packaged_of(model)) if model.embedded else _lacks_weights(model)
        missing += memory_lacks(model, device=self.device, dtype=self.dtype)
        missing += _lacks_settings(model)
        if "features" in needs:
            missing += _lacks_sae(model)
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
    from mindgap.backends.local.trial import tried
    from mindgap.sae.releases import load_sae

    loaded = load(model, device=backend.device, dtype=backend.dtype)
    on_cpu = next(loaded.model.parameters()).device.type == "cpu"
    engine = Engine(
        loaded.model,
        loaded.tokenizer,
        max_rows=backend.max_rows or (64 if on_cpu else 256),
        open_sae=partial(load_sae, model.sae) if model.sae else None,
        template=model.template,
    )
    engine.way = tried(engine, loaded.identity)
    can: frozenset[Capability] = CAN | {"features"} if model.sae else CAN
    return LocalEndpoint(engine, f"local{ENGINE_VERSION}/{loaded.identity}{engine.chat.identity}", can, model)


@dataclass(frozen=True)
class LocalEndpoint:
    """A loaded model. One thread at a time.

    Whether it has an SAE says `can`; the SAE is opened when something of it is asked for.
    """

    engine: Engine
    identity: str
    can: frozenset[Capability] = CAN
    model: ModelSpec | None = None

    @property
    def layers(self) -> int:
        return self.engine.layers

    @property
    def d_model(self) -> int:
        return self.engine.d_model

    @property
    def thinks(self) -> bool:
        """Whether the model would think before it replies."""
        return self.engine.chat.thinks

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Endpoint.generate`."""
        from mindgap.backends.local.session import generate

        return generate(self.engine, requests)

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        from mindgap.backends.local.scoring import loglikelihood

        return loglikelihood(self.engine, requests)

    def residuals(self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int) -> np.ndarray:
        """See `SteerableEndpoint.residuals`."""
        means = np.full((len(texts), self.d_model), np.nan, dtype=np.float32)
        for index, residual in self._response_residuals(texts, layer):
            if len(residual):
                means[index] = residual.mean(0)
        return means

    def residual_norms(self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int) -> np.ndarray:
        """See `SteerableEndpoint.residual_norms`."""
        norms = [np.linalg.norm(residual, axis=1) for _, residual in self._response_residuals(texts, layer)]
        return np.concatenate(norms) if norms else np.empty(0, dtype=np.float32)

    def read(
        self, texts: Sequence[tuple[tuple[Message, ...], str] | str], layers: Sequence[int], point: Point
    ) -> np.ndarray:
        """See `ReadableEndpoint.read`."""
        from mindgap.backends.local.reading import read_points

        return read_points(self.engine, texts, layers, point)

    def stream(self, text: tuple[tuple[Message, ...], str] | str, layer: int, least: int = 0) -> np.ndarray:
        """See `ReadableEndpoint.stream`."""
        from mindgap.backends.local.reading import read_tokens

        return read_tokens(self.engine, text, layer, least)

    @property
    def sae(self) -> SAE:
        """The model's SAE. Raises UnavailableError where it has none."""
        if self.engine.sae is None:
            raise UnavailableError(f"{self.identity} has no SAE: name one in model.sae")
        return self.engine.sae

    @property
    def sae_identity(self) -> str:
        return self.sae.identity

    @property
    def sae_layer(self) -> int:
        return self.sae.layer

    @property
    def features(self) -> int:
        return self.sae.features

    @property
    def scales(self) -> np.ndarray:
        """See `FeatureEndpoint.scales`."""
        return self._catalogue.scale

    def label(self, feature: int) -> str:
        """See `FeatureEndpoint.label`."""
        return self._catalogue.labels[feature]

    def relevance(self, text: str) -> np.ndarray:
        """See `FeatureEndpoint.relevance`."""
        from mindgap.sae.search import relevance

        return relevance(self._catalogue, text)

    @property
    def _catalogue(self) -> Catalogue:
        assert self.model is not None, "an endpoint without a model's YAML has no catalogue"
        return _catalogue_of(self.model)

    def likelihood_gradients(self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int) -> np.ndarray:
        """See `SteerableEndpoint.likelihood_gradients`."""
        from mindgap.backends.local.attribution import likelihood_gradient

        gradients = np.zeros((len(texts), self.d_model), dtype=np.float32)
        for index, gradient in likelihood_gradient(self.engine, texts, layer):
            gradients[index] = gradient
        return gradients

    def likelihood_under(
        self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int, vector: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `TrainableEndpoint.likelihood_under`."""
        from mindgap.backends.local.attribution import likelihood_under

        return likelihood_under(self.engine, texts, layer, vector)

    def directions(self, features: Sequence[int]) -> np.ndarray:
        """See `FeatureEndpoint.directions`."""
        directions: np.ndarray = self.sae.directions(features).cpu().numpy()
        return directions

    def feature_means(self, texts: Sequence[tuple[tuple[Message, ...], str]]) -> np.ndarray:
        """See `FeatureEndpoint.feature_means`."""
        return self._over_tokens(texts, lambda activations: activations.mean(0))

    def feature_maxima(self, texts: Sequence[tuple[tuple[Message, ...], str]]) -> np.ndarray:
        """See `FeatureEndpoint.feature_maxima`."""
        return self._over_tokens(texts, lambda activations: activations.amax(0))

    def _over_tokens(
        self, texts: Sequence[tuple[tuple[Message, ...], str]], reduce: Callable[[Tensor], Tensor]
    ) -> np.ndarray:
        from mindgap.backends.local.residuals import response_features

        sae = self.engine.resident_sae or self.sae
        reduced = np.full((len(texts), self.features), np.nan, dtype=np.float32)
        for index, activations in response_features(self.engine, sae, texts):
            if len(activations):
                reduced[index] = reduce(activations).cpu().numpy()
        return reduced

    def _response_residuals(
        self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        from mindgap.backends.local.residuals import response_residuals

        return response_residuals(self.engine, texts, layer)


@cache
def _catalogue_of(model: ModelSpec) -> Catalogue:
    from mindgap.sae.locate import catalogue_of

    return catalogue_of(model)


def _lacks_sae(model: ModelSpec) -> list[str]:
    if model.sae is None:
        return [f"an SAE for model={model.name}: name one in model.sae"]
    from mindgap.sae.releases import sae_lacks

    return sae_lacks(model.sae)


def _lacks_settings(model: ModelSpec) -> list[str]:
    from mindgap.backends.local.embedded import packaged_folder
    from mindgap.backends.local.template import settings_lack

    folder = packaged_folder(model) if model.embedded else files_of(model)
    return settings_lack(model.template, folder) if folder is not None else []


def _lacks_weights(model: ModelSpec) -> list[str]:
    """What stands between a model that is not embedded and this machine: its id, its files."""
    return ["a Hugging Face id or folder (model.hf_id)"] if model.hf_id is None else files_lack(model)
