"""One model behind a server of Goodfire's API, by way of the SDK."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import goodfire
import numpy as np
from goodfire.api.exceptions import GoodfireBaseException

from mindgap.backends.base import Capability
from mindgap.backends.goodfire import CAN, GoodfireBackend
from mindgap.backends.goodfire.controllers import indices, steered
from mindgap.backends.goodfire.transport import Transport
from mindgap.backends.replies import completion_of
from mindgap.core.characters import encodable
from mindgap.core.edits import UNKNOWN_LAYER, FeatureEdit
from mindgap.core.errors import UnavailableError
from mindgap.core.records import Completion, Decoding, Message, OptionScores, OptionsRequest, Request
from mindgap.core.secrets import excerpt
from mindgap.providers.http import Trouble
from mindgap.providers.loop import run_each
from mindgap.providers.parsing import count, reply_text
from mindgap.text.thoughts import part

log = logging.getLogger(__name__)
Made = TypeVar("Made")

PAGE = 500
"""Features that are looked up in one call."""
NEAREST = 100
"""Features that a search tells of."""
MALFORMED = (GoodfireBaseException, KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What the SDK raises at a reply of status 200 that is not as it should be."""


class GoodfireEndpoint:
    """See `Endpoint`; of `FeatureEndpoint` what the API can tell, and `AutoEditing`.

    Which features the SAE has, their labels and which of them are alive is looked up when it is first asked for. The
    API tells no directions, so doses are unknown; values are in units of a feature's scale, which is therefore 1 here.
    """

    def __init__(self, backend: GoodfireBackend, model: str, fingerprint: str = "") -> None:
        self._backend, self._model, self._fingerprint = backend, model, fingerprint
        self._known: dict[int, goodfire.Feature] = {}

    @classmethod
    def connect(cls, backend: GoodfireBackend, model: str) -> GoodfireEndpoint:
        """Raises UnavailableError where the server does not answer, or does not serve the model."""
        first = cls(backend, model)
        hello = (Message("user", "Hello."),)
        reply = first._asked(lambda client, http: first._chat(client, model, hello, Decoding(1, 0.0), 0), "the model")
        log.warning("model=%s at %s is served by %s", model, first._server, reply.system_fingerprint)
        return cls(backend, model, reply.system_fingerprint)

    @property
    def identity(self) -> str:
        """Server, the model's name there, and what the server says really answers under that name."""
        return f"goodfire/{self._model}@{self._server}/{self._fingerprint}"

    @property
    def can(self) -> frozenset[Capability]:
        return CAN

    # -- text --------------------------------------------------------------------------------------------------------

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Endpoint.generate`."""
        self._look_up(sorted({index for request in requests for index in self._edited(request)}))
        yield from run_each(self._complete, requests, self._backend.concurrency)

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        """Raises UnavailableError: see `can`."""
        raise UnavailableError("backend=goodfire: the API gives no log-likelihoods of given texts")

    async def _complete(self, request: Request) -> Completion:
        try:
            variant = steered(self._model, request.edits, self.sae_identity, self._known) if request.edits else None
        except ValueError as error:
            return _error(str(error))
        client, http = self._client()
        try:
            chat = self._chat(client, variant or self._model, request.messages, request.decoding, request.seed)
            reply = await chat
            text, finish = reply_text(reply.choices[0].message["content"]), reply.choices[0].finish_reason
        except Trouble as trouble:
            return _error(str(trouble))
        except MALFORMED as error:
            return _error(f"the server's reply is not what the SDK expects ({_said(error)})")
        if reply.system_fingerprint != self._fingerprint:  # another model under the same name: nothing to be recorded
            return _error(f"the server changed: {reply.system_fingerprint!r} answers, not {self._fingerprint!r}")
        return completion_of(
            part(text),
            cut=finish == "length",
            prompt_tokens=count(http.usage.get("prompt_tokens")),
            completion_tokens=count(http.usage.get("completion_tokens")),
        )

    def _chat(
        self,
        client: goodfire.AsyncClient,
        model: Any,
        messages: Sequence[Message],
        decoding: Decoding,
        seed: int,
    ) -> Awaitable[Any]:
        """The request as it is: no system prompt and no stop words of the SDK's own, and a seed."""
        reply: Awaitable[Any] = client.chat.completions.create(
            [asdict(message) for message in messages],
            model,
            max_completion_tokens=decoding.max_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            stop=None,
            seed=seed,
            system_prompt="",
        )
        return reply

    # -- features ----------------------------------------------------------------------------------------------------

    @cached_property
    def sae_identity(self) -> str:
        """The server and its SAE: features of different SAEs have different ids."""
        self._look_up([0])
        return f"goodfire/{self._server}/{self._known[0].uuid}"

    @property
    def sae_layer(self) -> int:
        return UNKNOWN_LAYER

    @property
    def features(self) -> int:
        return len(self._catalogue)

    @cached_property
    def scales(self) -> np.ndarray:
        """See `FeatureEndpoint.scales`. Counted as dead are features without a label: nobody saw what they are."""
        return np.array([float(bool(label)) for label in self._catalogue], dtype=np.float32)

    def directions(self, features: Sequence[int]) -> list[None]:
        """The API keeps them to itself."""
        return [None] * len(features)

    def label(self, feature: int) -> str:
        """See `FeatureEndpoint.label`."""
        return self._catalogue[feature]

    def relevance(self, text: str) -> np.ndarray:
        """See `FeatureEndpoint.relevance`; -1 for all but the nearest."""

        async def search(client: goodfire.AsyncClient, http: Transport) -> tuple[Any, list[float]]:
            nearest = await client.features.search(text, self._model, top_k=NEAREST)
            if not len(nearest):
                return [], []
            ranked = await client.features.rerank(nearest, text, self._model, top_k=len(nearest))
            return ranked, await client.features.semantic_similarity(nearest, text, self._model)

        ranked, scores = self._asked(search, f"a search for {text!r}")
        relevance = np.full(self.features, -1, dtype=np.float32)
        for feature, score in zip(ranked, scores, strict=True):  # both come from the same ranking, best first
            relevance[feature.index_in_sae] = score
        return relevance

    def auto_edits(self, specification: str) -> tuple[FeatureEdit, ...]:
        """See `AutoEditing`."""
        proposed = self._asked(
            lambda client, http: client.features.AutoSteer(specification, self._model),
            f"Auto Steer of {specification!r}",
        )
        # Not by the SDK's features: two that name the same feature are two of its keys.
        offsets: dict[int, float] = {}
        for feature, strength in proposed.as_dict().items():
            self._known.setdefault(feature.index_in_sae, feature)
            offsets[feature.index_in_sae] = offsets.get(feature.index_in_sae, 0.0) + float(strength)
        return tuple(
            FeatureEdit(
                sae=self.sae_identity,
                layer=self.sae_layer,
                feature=index,
                scale=1.0,
                direction=None,
                offset=offset,
                label=self._known[index].label,
            )
            for index, offset in offsets.items()
        )

    @cached_property
    def _catalogue(self) -> list[str]:
        """Labels of all features. The API does not say how many there are: they are looked up until there is none."""
        count, page = 0, PAGE
        while page:
            wanted = range(count, count + page)
            self._look_up(wanted, all_there=False)
            if all(index in self._known for index in wanted):
                count += page
            else:
                page //= 2
        return [self._known[index].label for index in range(count)]

    def _look_up(self, features: Sequence[int], *, all_there: bool = True) -> None:
        """Learn the SDK's features of these indices.

        Args:
            all_there: Raises UnavailableError for one that does not exist.
        """
        missing = [index for index in features if index not in self._known]
        for start in range(0, len(missing), PAGE):
            page = missing[start : start + PAGE]

            async def look(client: goodfire.AsyncClient, http: Transport, page: list[int] = page) -> dict[int, Any]:
                try:
                    labels: dict[int, Any] = await client.features.lookup(page, self._model)
                except Trouble as trouble:
                    if trouble.status != 404 or all_there:
                        raise
                    return {}
                return labels

            self._known |= self._asked(look, "features")
        if all_there and (absent := [index for index in missing if index not in self._known]):
            raise UnavailableError(f"backend=goodfire: {self._server} knows no feature {absent[0]}")

    def _edited(self, request: Request) -> tuple[int, ...]:
        try:
            return indices(request.edits, self.sae_identity) if request.edits else ()
        except ValueError:
            return ()  # refused, with the reason, when its turn comes

    # -- calls -------------------------------------------------------------------------------------------------------

    @property
    def _server(self) -> str:
        parts = urlsplit(self._backend.base_url)
        return f"{parts.netloc}{parts.path}"

    def _client(self) -> tuple[goodfire.AsyncClient, Transport]:
        """The SDK's client, which costs nothing without its HTTP client, and what its calls go through."""
        key = os.environ.get(self._backend.key_env, "") if self._backend.key_env else ""
        client = goodfire.AsyncClient(key or "none", base_url=self._backend.base_url)
        http = Transport(timeout=self._backend.timeout, max_retries=self._backend.max_retries, key=key)
        client.features._http = client.chat._http = client.chat.completions._http = http
        return client, http

    def _asked(self, call: Callable[[goodfire.AsyncClient, Transport], Awaitable[Made]], what: str) -> Made:
        """What one call gives, from synchronous code. Raises UnavailableError."""

        async def made(_: None) -> Made:
            return await call(*self._client())

        try:
            ((_, answer),) = run_each(made, [None], 1)
        except Trouble as trouble:
            start = f". {self._backend.start}" if trouble.status is None else ""
            message = f"backend=goodfire: asked for {what}, {self._backend.base_url} gave none: {trouble}{start}"
            raise UnavailableError(message) from trouble
        except MALFORMED as error:
            message = f"backend=goodfire: asked for {what}, {self._backend.base_url} gave what the SDK cannot read"
            raise UnavailableError(f"{message} ({_said(error)})") from error
        return answer


def _said(error: Exception) -> str:
    return encodable(f"{type(error).__name__}: {excerpt(' '.join(str(error).split()), 200)}")


def _error(reason: str) -> Completion:
    return Completion("", "error", error=reason)
