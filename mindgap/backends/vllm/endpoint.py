"""A model that answers on vLLM servers and is read here: prompts and edits go out as token ids and programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from mindgap.backends.base import Capability
from mindgap.backends.local import identity_of
from mindgap.backends.local.architecture import size_of
from mindgap.backends.local.chat import Chat
from mindgap.backends.local.load import Described, placed
from mindgap.backends.local.reader import Reader
from mindgap.backends.replies import completion_of
from mindgap.backends.vllm import CLIENT_VERSION, VllmBackend
from mindgap.backends.vllm.programs import program_of
from mindgap.backends.vllm.scoring import likelihoods
from mindgap.backends.vllm.servers import Servers
from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import Edit, FeatureEdit
from mindgap.core.errors import PromptError, UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, OptionScores, OptionsRequest, Request
from mindgap.providers.http import Trouble
from mindgap.providers.loop import run_each

if TYPE_CHECKING:
    from mindgap.backends.local.engine import Engine
    from mindgap.sae.sae import SAE

SEEDS = 2**63
"""vLLM takes seeds below this."""


class VllmEndpoint(Reader):
    """See `FeatureEndpoint`. Text and likelihoods come from the servers.

    What only the weights tell (activations, gradients, conditions on prompts) is read by the local engine, which loads
    the model when that is first asked for; steering by vectors that are there already needs no weights here.
    """

    def __init__(
        self, backend: VllmBackend, model: ModelSpec, described: Described, servers: Servers, *, context: int
    ) -> None:
        self.model, self.servers, self.context = model, servers, context
        self._spec, self._backend, self._described = model, backend, described
        self.chat = Chat(described.tokenizer, model.template)
        self.can: frozenset[Capability] = backend.can(model)
        self.identity = f"vllm{CLIENT_VERSION}/{servers.model}{self.chat.identity}"

    @cached_property
    def engine(self) -> Engine:
        """The model, loaded here."""
        return self._backend.reader.open(self._spec).engine

    @cached_property
    def read_as(self) -> str:
        """What is read here is kept as the local engine's, and what that has read before is not read again."""
        reader = self._backend.reader
        if self._spec.trust_remote_code:  # the name then has a hash of the code, which is known once it has run
            return reader.open(self._spec).identity
        dtype = placed(reader.device, reader.dtype)[1]
        return identity_of(f"{self._described.identity}/{dtype}", self.chat)

    @property
    def layers(self) -> int:
        return size_of(self._described.config, "num_hidden_layers")

    @property
    def d_model(self) -> int:
        return size_of(self._described.config, "hidden_size")

    @property
    def thinks(self) -> bool:
        return self.chat.thinks

    @cached_property
    def sae(self) -> SAE:
        """The model's SAE. Raises UnavailableError where it has none, or one of another model."""
        from mindgap.sae.releases import load_sae

        if self._spec.sae is None:
            raise UnavailableError(f"{self.identity} has no SAE: name one in model.sae")
        sae = load_sae(self._spec.sae)
        if sae.d_model != self.d_model or sae.layer >= self.layers:
            raise UnavailableError(f"model.sae: {sae.identity} was not trained on model={self._spec.name}")
        return sae

    # -- text --------------------------------------------------------------------------------------------------------

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Endpoint.generate`."""
        self._check(request.edits for request in requests)
        prompts: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            prompt = self._prompt(request)
            if isinstance(prompt, Completion):
                yield index, prompt
            else:
                prompts[index] = prompt
        rows = list(prompts)
        edits = self._decided([prompts[row] for row in rows], [requests[row].edits for row in rows])
        work = [(requests[row], prompts[row], some) for row, some in zip(rows, edits, strict=True)]
        for place, completion in run_each(self._complete, work, self._most):
            yield rows[place], completion

    def _prompt(self, request: Request) -> list[int] | Completion:
        try:
            prompt = self.chat.prompt(request.messages, without_thought=request.without_thought)
        except PromptError as error:
            return _error(str(error))
        if len(prompt) + request.decoding.max_tokens > self.context:
            return _error(
                f"prompt of {len(prompt)} tokens plus max_tokens {request.decoding.max_tokens} exceeds "
                f"the servers' context of {self.context}",
                len(prompt),
            )
        return prompt

    async def _complete(self, work: tuple[Request, list[int], Sequence[Edit]]) -> Completion:
        request, prompt, edits = work
        decoding = request.decoding
        sampled = decoding.temperature > 0
        try:
            body: dict[str, Any] = {
                "prompt": prompt,
                "max_tokens": decoding.max_tokens,
                "temperature": decoding.temperature,
                **({"top_p": decoding.top_p, "seed": request.seed % SEEDS} if sampled else {}),
                "stop_token_ids": sorted(self._described.stops),
                "ignore_eos": True,  # of vLLM's own idea of it: `stop_token_ids` says when a reply ends
                "stop": list(self.chat.next_turns),
                "include_stop_str_in_output": True,
                "return_token_ids": True,
                **self._steered(edits, prompt),
            }
            choice = await self.servers.complete(body)
            written = [int(token) for token in choice["token_ids"]]
            cut = choice["finish_reason"] != "stop"
        except (Trouble, ValueError) as trouble:
            return _error(str(trouble), len(prompt))
        except (KeyError, TypeError) as odd:
            return _error(f"the server's reply is not what vLLM 0.32 sends ({type(odd).__name__}: {odd})", len(prompt))
        ended = bool(written) and written[-1] in self._described.stops
        parted, spoken = self.chat.read(prompt, written[:-1] if ended else written)
        return completion_of(parted, cut=cut, prompt_tokens=len(prompt), completion_tokens=len(written), tokens=spoken)

    # -- likelihoods -------------------------------------------------------------------------------------------------

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        """See `Endpoint.loglikelihood`."""
        from mindgap.backends.local.scoring import encoded

        self._check(request.edits for request in requests)
        # a server generates one token behind what it scores
        texts = [encoded(self.chat, self.context - 1, request) for request in requests]
        for index, text in enumerate(texts):
            if text.error is not None:
                yield index, OptionScores((), (), text.error)
        rows = [index for index, text in enumerate(texts) if text.error is None]
        edits = self._decided([texts[row].prompt for row in rows], [texts[row].edits for row in rows])
        work = [replace(texts[row], edits=some) for row, some in zip(rows, edits, strict=True)]
        for place, totals in run_each(partial(likelihoods, self.servers, self._steered), work, self._most):
            options = texts[rows[place]].options
            if isinstance(totals, str):
                yield rows[place], OptionScores((), (), totals)
            elif not all(map(math.isfinite, totals)):
                error = "the log-likelihood is not a finite number: the model's logits are broken"
                yield rows[place], OptionScores((), (), error)
            else:
                yield rows[place], OptionScores(tuple(totals), tuple(map(len, options)))

    # -- edits -------------------------------------------------------------------------------------------------------

    @property
    def _most(self) -> int:
        """Requests under way at all servers together."""
        return self.servers.concurrency * len(self.servers.servers)

    def _steered(self, edits: Sequence[Edit], prompt: Sequence[int]) -> Mapping[str, Any]:
        """The part of a request that steers. Raises ValueError for an edit that no server can make."""
        features = any(isinstance(edit, FeatureEdit) for edit in edits)
        program = program_of(edits, start=len(prompt) - 1, sae=self.sae if features else None)
        return {} if program is None else {"vllm_xargs": {"mindgap": program}}

    def _check(self, edits: Iterator[Sequence[Edit]] | Any) -> None:
        """Raise ValueError for edits of a layer, a width or a feature that this model does not have."""
        from mindgap.backends.local.steering import check_edits

        every = list(edits)
        features = any(isinstance(edit, FeatureEdit) for some in every for edit in some)
        check_edits(every, self.layers, self.d_model, self.sae if features else None)

    def _decided(self, prompts: Sequence[list[int]], edits: Sequence[tuple[Edit, ...]]) -> list[tuple[Edit, ...]]:
        """The edits of each row without conditions on prompts, which are read here."""
        from mindgap.backends.local.gates import decided

        if any(isinstance(edit, DirectionEdit) and edit.gate is not None for some in edits for edit in some):
            return decided(self.engine, prompts, edits)
        return list(edits)


def _error(reason: str, prompt_tokens: int | None = None) -> Completion:
    return Completion("", "error", prompt_tokens, error=reason)
