"""Reading a model that is loaded here: its residual stream, its gradients, the features of its SAE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from mindgap.backends.base import Point, ReftForm
from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Message

if TYPE_CHECKING:
    from torch import Tensor

    from mindgap.backends.local.engine import Engine
    from mindgap.sae.catalogue import Catalogue
    from mindgap.sae.sae import SAE


class Reader:
    """What `SteerableEndpoint`, `ReadableEndpoint`, `TrainableEndpoint` and `FeatureEndpoint` tell, by an engine here.

    Attributes:
        identity: See `Endpoint.identity`; for messages here.
        model: Whose catalogue of features is read; None where it has none.
        engine: The loaded model.
    """

    identity: str
    model: ModelSpec | None
    if TYPE_CHECKING:  # at run time a property would stand in the way of a dataclass's field

        @property
        def engine(self) -> Engine: ...

    @property
    def read_as(self) -> str:
        """What readings of the model are kept under: the identity of the engine that reads."""
        return self.identity

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

    def reft_objective(
        self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int, form: ReftForm, parameters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `TrainableEndpoint.reft_objective`."""
        from mindgap.backends.local.reft import reft_objective

        return reft_objective(self.engine, texts, layer, form, parameters)

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
