"""A loaded causal LM and its forward passes: what it can take, where its blocks are, how much memory a row needs.

Passes carry rows under different steering. Who joins which pass is decided in `session.py` and `scoring.py`; all
steering belongs to the row, so a row's logits do not depend on its neighbours beyond floating-point noise.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from mindgap.backends.local.architecture import (
    Attention,
    Masks,
    attention_of,
    cached_numbers,
    find_blocks,
    layer_configs,
    size_of,
    stop_tokens,
    text_config,
)
from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.chat import Chat
from mindgap.backends.local.direction_edits import DirectionTable
from mindgap.backends.local.feature_edits import FeatureTable
from mindgap.backends.local.steering import Steering, build_tables, check_edits, is_constant
from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import Edit, FeatureEdit
from mindgap.core.errors import UnavailableError
from mindgap.core.records import Message
from mindgap.sae.sae import SAE

log = logging.getLogger(__name__)

PROMPT_TOKENS_PER_PASS = 4096
"""Most tokens, padding included, that one pass over prompts or scored texts carries."""

Way = Literal["slots", "own cache", "no cache"]
"""How rows are read: in passes that they share, each row in a slot of one cache; each row by itself, with the cache
that transformers makes for the model; each row by itself and anew for every token."""

CACHE_ARGUMENTS = ("past_key_values", "cache_params", "state")
"""What models of transformers call the cache that a pass goes on from and returns."""


class Engine:
    """A loaded model.

    Args:
        model: A causal LM; its parameters are frozen.
        tokenizer: Its tokenizer.
        max_rows: Bounds the batch; the memory at hand may bound it further.
        open_sae: Opens the model's SAE, when it is first needed; None = it has none.
        way: How rows are read. A model that remembers more than keys and values has no use for slots, and is read
            with its own cache instead.
        template: Settings of the chat template.

    Attributes:
        share: How much of what a pass may carry at most it does carry; less than 1 after memory has run out.

    Raises:
        UnavailableError: For a model that does not tell its size, or has no blocks that could be steered.
        ConfigError: For a setting that its chat template does not know.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        max_rows: int,
        open_sae: Callable[[], SAE] | None = None,
        way: Way = "slots",
        template: Mapping[str, Any] | None = None,
    ) -> None:
        self._open_sae = open_sae
        self.model, self.tokenizer, self.max_rows = model.eval().requires_grad_(False), tokenizer, max_rows
        self.config: Any = text_config(model)
        self.d_model, self.vocabulary = size_of(self.config, "hidden_size"), size_of(self.config, "vocab_size")
        self.blocks = find_blocks(model, size_of(self.config, "num_hidden_layers"))
        self.device: torch.device = next(model.parameters()).device
        self.dtype: torch.dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        self.quantised = getattr(model.config, "quantization_config", None) is not None
        self.chat = Chat(tokenizer, template)
        self.stops = stop_tokens(getattr(model, "generation_config", None), tokenizer)
        self.attention: Attention = attention_of(model, self.config)
        self.way: Way = "own cache" if way == "slots" and not self.attention.fits_slots else way
        self.share = 1.0
        arguments = inspect.signature(model.forward).parameters
        self._keeps_logits = "logits_to_keep" in arguments
        self._cache_argument = next((name for name in CACHE_ARGUMENTS if name in arguments), None)

    @property
    def layers(self) -> int:
        return len(self.blocks)

    @property
    def slots(self) -> bool:
        """Whether rows share passes."""
        return self.way == "slots"

    @property
    def context(self) -> int:
        """Longest sequence, in tokens."""
        return self.attention.context

    @property
    def shared_context(self) -> int:
        """Longest sequence that may share a pass with others; a longer one is read by itself."""
        return self.attention.shared if self.slots else 0

    def rows_that_share(self, width: int, most: int = PROMPT_TOKENS_PER_PASS) -> int:
        """How many rows, padded to `width` tokens, share a pass of at most `most` tokens."""
        return max(1, self.tokens_per_pass(most) // max(1, width)) if width <= self.shared_context else 1

    def prompt_and_reply(self, messages: Sequence[Message], reply: str) -> tuple[list[int], list[int]]:
        """Token ids of a prompt and of the reply to it; what lies beyond the context is left out.

        Raises:
            PromptError: The messages cannot be put to the model.
        """
        prompt, (words,) = self.chat.with_replies(messages, [reply])
        prompt = prompt[: self.context]
        return prompt, words[: self.context - len(prompt)]

    @cached_property
    def sae(self) -> SAE | None:
        """The model's SAE, its tensors where its file is. Raises UnavailableError for one of another model."""
        if self._open_sae is None:
            return None
        sae = self._open_sae()
        if sae.d_model != self.d_model or sae.layer >= self.layers:
            raise UnavailableError(
                f"model.sae: {sae.identity} reads {sae.d_model} numbers at block {sae.layer}; the model has width "
                f"{self.d_model} and blocks 0 to {self.layers - 1}. Name an SAE that was trained on this model"
            )
        return sae

    @cached_property
    def resident_sae(self) -> SAE | None:
        """`sae` on the device in float32, to encode whole activations. Takes the memory that this needs."""
        return self.sae.to(self.device, torch.float32) if self.sae else None

    def steering(self, edits: Sequence[Sequence[Edit]]) -> Steering:
        """The steering of a run whose requests have these edits. Raises ValueError for one the model cannot take.

        Conditions on prompts have to be decided before: `gates.decided`.
        """
        uses_features = any(isinstance(edit, FeatureEdit) for request in edits for edit in request)
        sae = self.sae if uses_features else None
        check_edits(edits, self.layers, self.d_model, sae)
        constant = [[edit for edit in request if is_constant(edit)] for request in edits]
        tables = build_tables(constant, sae, self.d_model, self.device, self.dtype)
        directed = [[e for e in request if isinstance(e, DirectionEdit) and e.changes] for request in edits]
        if any(edit.gate is not None for some in directed for edit in some):
            raise ValueError("a condition on the prompt was not decided before the prompt was read")
        directions = {
            layer: DirectionTable(
                [[e for e in some if e.layer == layer] for some in directed], self.d_model, self.device
            )
            for layer in sorted({edit.layer for some in directed for edit in some})
        }
        varying = [[e for e in request if isinstance(e, FeatureEdit) and not is_constant(e)] for request in edits]
        if sae is None or not any(varying):
            return Steering(self.blocks, tables, None, directions)
        whole = self.resident_sae if sae.k is not None else None
        return Steering(self.blocks, tables, FeatureTable(varying, whole or sae, self.device), directions)

    def pass_over_prompts(
        self,
        prompts: list[list[int]],
        requests: list[int],
        cache: SlotCache,
        steering: Steering,
        *,
        ends: Sequence[int],
    ) -> None:
        """Read prompts, or what they begin with, into the slots that the cache says.

        Args:
            prompts: Their token ids.
            requests: Whose edits each has.
            cache: Begun by `SlotCache.begin_prompts`.
            steering: The edits.
            ends: Index of each prompt's last token.
        """
        tokens, real = self.padded(prompts)
        rows = torch.tensor(requests, device=self.device)
        steering.rows_are(rows, response=False, real=real, ends=torch.tensor(ends, device=self.device))
        positions = torch.arange(tokens.shape[1], device=self.device)[None].expand_as(tokens)
        self.forward(tokens, positions, None, cache, steering, logits_to_keep=1)

    def pass_over_extension(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        span: int,
        cache: SlotCache,
        steering: Steering,
        *,
        first: int = 0,
        logits_to_keep: int = 0,
    ) -> torch.Tensor:
        """Logits `[rows, tokens, vocabulary]` of tokens that are added to slots at `positions`, both `[rows, tokens]`.

        Say first which requests the rows are of: `Steering.rows_are`.

        Args:
            tokens: Their ids.
            positions: Where each goes in its slot.
            span: One more than the highest position.
            cache: Keys and values of what came before.
            steering: The edits.
            first: Slot of the first row.
            logits_to_keep: See `forward`.
        """
        cache.begin_extension(positions, span, first)
        steering.at(positions)
        masks = self.attention.masks(positions, span, self.dtype)
        return self.forward(tokens, positions, masks, cache, steering, logits_to_keep)

    def pass_over_row(
        self, tokens: Sequence[int], request: int, steering: Steering, *, response_from: int
    ) -> torch.Tensor:
        """Logits `[tokens from response_from on, vocabulary]` of one row alone, without any cache.

        Right for every causal LM, and slow.
        """
        steering.row_is(torch.tensor([request], device=self.device), response_from=response_from)
        with steering:
            ids = torch.tensor([list(tokens)], device=self.device)
            return self.last_logits(ids, len(tokens) - response_from)[0]

    def last_logits(self, tokens: torch.Tensor, last: int) -> torch.Tensor:
        """Logits `[rows, last, vocabulary]` of the last tokens of rows `[rows, tokens]`, read without any cache."""
        logits: torch.Tensor = self.model(input_ids=tokens, use_cache=False, **self._keeping(last)).logits
        return logits[:, -last:]

    def _keeping(self, logits: int) -> dict[str, int]:
        """The argument by which a model is told how many of the last logits are wanted, if it has one; 0 = all."""
        return {"logits_to_keep": logits} if self._keeps_logits else {}

    def pass_with_own_cache(
        self, tokens: Sequence[int], cache: Any, request: int, steering: Steering, *, first: int, end: int
    ) -> tuple[torch.Tensor, Any]:
        """Read on in one row, with the cache that transformers makes for this model.

        Args:
            tokens: What follows the tokens that the cache holds.
            cache: What an earlier pass over this row returned; None at its start. It must not be used again.
            request: Whose edits the row has.
            steering: The edits.
            first: Where in the row's text the first of `tokens` stands.
            end: Index in that text of the last prompt token, the first at a response position.

        Returns:
            Logits `[vocabulary]` after the last token, and the cache to go on from.

        Raises:
            UnavailableError: Where the model keeps no cache.
        """
        argument = self._cache_argument
        if argument is None:
            raise UnavailableError("models of this kind keep no cache")
        arguments = {"input_ids": torch.tensor([list(tokens)], device=self.device), "use_cache": True, argument: cache}
        arguments |= self._keeping(1)
        response_from = max(0, end - first)
        steering.row_is(torch.tensor([request], device=self.device), response_from=response_from, first=first, end=end)
        with steering:
            output = self.model(**arguments)
        kept = getattr(output, argument, None)
        if kept is None:
            raise UnavailableError("models of this kind keep no cache")
        return output.logits[0, -1], kept

    def padded(self, sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids padded behind with 0, and where they are real: both `[rows, longest]`."""
        longest = max(map(len, sequences))
        tokens = torch.tensor([sequence + [0] * (longest - len(sequence)) for sequence in sequences])
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        real = torch.arange(longest)[None] < lengths[:, None]
        return tokens.to(self.device), real.to(self.device)

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        mask: Masks | None,
        cache: SlotCache,
        steering: Steering,
        logits_to_keep: int = 0,
    ) -> torch.Tensor:
        """Logits `[rows, tokens, vocabulary]` of one pass that reads and writes `cache`.

        logits_to_keep: How many of the last tokens the logits are wanted of; 0 = all. Some models give all always.
        """
        with steering:  # only here: between passes the caller may use the model for something else
            output = self.model(
                input_ids=tokens,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                **self._keeping(logits_to_keep),
            )
        logits: torch.Tensor = output.logits
        return logits

    def rows_in_memory(self, length: int) -> int:
        """How many rows of `length` tokens fit half the free memory, at least 1 and at most `max_rows`."""
        return max(1, min(self.max_rows, int(self.free_memory() / 2 / self.row_memory(length))))

    def tokens_per_pass(self, most: int = PROMPT_TOKENS_PER_PASS) -> int:
        """Tokens that a pass carries at most: `most` of them unless memory has run out."""
        return max(1, int(most * self.share))

    def take_less(self, rows: int) -> None:
        """Have passes be half as large from now on, after memory ran out in one of `rows` rows. Says so once."""
        if self.share == 1.0:
            log.warning(
                "memory ran out with %d rows in a batch: going on with at most %d (backend.max_rows sets it)",
                rows,
                max(1, rows // 2),
            )
        self.max_rows, self.share = max(1, rows // 2), self.share / 2

    def row_memory(self, length: int) -> int:
        """Bytes that a row of `length` tokens takes: keys, values and logits."""
        cache = 2 * sum(map(cached_numbers, layer_configs(self.config))) * length * self.dtype.itemsize
        logits = 4 * 4 * self.vocabulary
        return cache + logits

    def free_memory(self) -> int:
        """Bytes that are free where the model is."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        import psutil

        return int(psutil.virtual_memory().available)
