"""The bench on which interventions are made: a model to generate with and to read, everything kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mindgap.backends.base import SteerableEndpoint
from mindgap.fetch import completions
from mindgap.records import Completion, Decoding, Message, Request, content_key
from mindgap.store import Store

Text = tuple[tuple[Message, ...], str]
"""Messages and the response to them."""


@dataclass(frozen=True)
class SteeringBench:
    """seed: fixes everything random in making interventions; the experiment's seed."""

    endpoint: SteerableEndpoint
    store: Store
    seed: int

    @property
    def layers(self) -> int:
        return self.endpoint.layers

    @property
    def d_model(self) -> int:
        return self.endpoint.d_model

    def respond(self, prompts: Sequence[tuple[Message, ...]], max_tokens: int) -> list[Completion]:
        """The unsteered model's greedy replies to `prompts`, at most `max_tokens` tokens each."""
        decoding = Decoding(max_tokens=max_tokens, temperature=0)
        requests = [Request(self.endpoint.identity, prompt, decoding, self.seed) for prompt in prompts]
        by_key = completions(requests, self.endpoint, self.store)
        return [by_key[request.key] for request in requests]

    def residuals(self, texts: Sequence[Text], layer: int) -> np.ndarray:
        """Mean residual stream over the response tokens of each text: float32 `[texts, d_model]`."""
        return self._kept("residuals", texts, layer, lambda: self.endpoint.residuals(texts, layer))

    def residual_norm(self, texts: Sequence[Text], layer: int) -> float:
        """Median norm of the residual stream over all response tokens of `texts`: the denominator of relative dose."""
        norm = self._kept(
            "residual_norm",
            texts,
            layer,
            lambda: np.median(self.endpoint.residual_norms(texts, layer), keepdims=True),
        )
        return float(norm[0])

    def _kept(self, kind: str, texts: Sequence[Text], layer: int, measure: Callable[[], np.ndarray]) -> np.ndarray:
        """What `measure` gives, from the store where it has been measured on these texts before."""
        plain = [([asdict(message) for message in messages], reply) for messages, reply in texts]
        key = content_key(kind, source=self.endpoint.identity, texts=plain, layer=layer)
        if (known := self.store.array(key)) is None:
            known = np.asarray(measure(), dtype=np.float32)
            self.store.put_array(key, known)
        return known
