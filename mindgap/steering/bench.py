"""The bench on which interventions are made: a model to generate with and to read, everything kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mindgap.backends.base import FeatureEndpoint, Point, ReadableEndpoint, SteerableEndpoint
from mindgap.backends.fetch import completions
from mindgap.core.keys import content_key
from mindgap.core.records import Completion, Decoding, Message, Request
from mindgap.storage.store import Store

Text = tuple[tuple[Message, ...], str]
"""Messages and the response to them."""


@dataclass(frozen=True)
class SteeringBench:
    """What interventions are made on.

    Attributes:
        endpoint: The model.
        store: Where everything is kept.
        seed: Fixes everything random in making interventions; the experiment's seed.
        advance: Told of each reply and each measurement; None = nobody watches.
    """

    endpoint: SteerableEndpoint
    store: Store
    seed: int
    advance: Callable[[str], None] | None = None

    @property
    def read_as(self) -> str:
        """What is read from the model is kept under it: its identity, or that of the engine that reads for it."""
        return str(getattr(self.endpoint, "read_as", self.endpoint.identity))

    @property
    def layers(self) -> int:
        return self.endpoint.layers

    @property
    def d_model(self) -> int:
        return self.endpoint.d_model

    @property
    def features(self) -> FeatureEndpoint:
        """The endpoint with its SAE; for interventions that say they need `features`."""
        return cast(FeatureEndpoint, self.endpoint)

    def respond(self, prompts: Sequence[tuple[Message, ...]], max_tokens: int) -> list[Completion]:
        """The unsteered model's greedy replies to `prompts`, at most `max_tokens` tokens each.

        A model that would think first begins with its reply, where the endpoint knows how: few tokens hold no thought.
        """
        decoding = Decoding(max_tokens=max_tokens, temperature=0)
        thinks = getattr(self.endpoint, "thinks", False)
        requests = [
            Request(self.endpoint.identity, prompt, decoding, self.seed, without_thought=thinks) for prompt in prompts
        ]
        by_key = completions(requests, self.endpoint, self.store, lambda *told: self._tell())
        return [by_key[request.key] for request in requests]

    def residuals(self, texts: Sequence[Text], layer: int) -> np.ndarray:
        """Mean residual stream over the response tokens of each text: float32 `[texts, d_model]`."""
        return self._kept("residuals", texts, lambda: self.endpoint.residuals(texts, layer), layer=layer)

    def residual_norm(self, texts: Sequence[Text], layer: int) -> float:
        """Median norm of the residual stream over all response tokens of `texts`: the denominator of relative dose."""
        norm = self._kept(
            "residual_norm",
            texts,
            lambda: np.median(self.endpoint.residual_norms(texts, layer), keepdims=True),
            layer=layer,
        )
        return float(norm[0])

    def feature_means(self, texts: Sequence[Text]) -> np.ndarray:
        """Mean activation of every SAE feature over the response tokens of each text: float32 `[texts, features]`."""
        measure = self.features.feature_means
        return self._kept("feature_means", texts, lambda: measure(texts), sae=self.features.sae_identity)

    def likelihood_gradients(self, texts: Sequence[Text], layer: int) -> np.ndarray:
        """Gradient of each text's log-likelihood by what is added at `layer`: float32 `[texts, d_model]`."""
        measure = self.endpoint.likelihood_gradients
        return self._kept("likelihood_gradients", texts, lambda: measure(texts, layer), layer=layer)

    def read(self, texts: Sequence[Text | str], layers: Sequence[int], point: Point) -> np.ndarray:
        """The residual stream at one point of each text: `[len(layers), texts, d_model]`; see `ReadableEndpoint`."""
        measure = cast(ReadableEndpoint, self.endpoint).read
        return self._kept("read", texts, lambda: measure(texts, layers, point), layers=list(layers), point=point)

    def stream(self, text: Text | str, layer: int, least: int = 0) -> np.ndarray:
        """The residual stream at every token of a reply or string: `[tokens, d_model]`; see `ReadableEndpoint`."""
        measure = cast(ReadableEndpoint, self.endpoint).stream
        return self._kept("stream", [text], lambda: measure(text, layer, least), layer=layer, least=least)

    def _kept(
        self, kind: str, texts: Sequence[Text | str], measure: Callable[[], np.ndarray], **where: Any
    ) -> np.ndarray:
        """What `measure` gives, from the store where it has been measured on these texts at this place before."""
        self._tell()
        key = content_key(kind, source=self.read_as, texts=plain(texts), **where)
        if (known := self.store.array(key)) is None:
            known = np.asarray(measure(), dtype=np.float32)
            self.store.put_array(key, known)
        return known

    def _tell(self) -> None:
        if self.advance is not None:
            self.advance("")


def plain(texts: Sequence[Text | str]) -> list[Any]:
    """Texts as a content key takes them."""
    return [text if isinstance(text, str) else ([message.as_dict() for message in text[0]], text[1]) for text in texts]
