"""Generation and scoring on a Hugging Face causal LM, differently steered rows sharing one batch.

The decode loop is our own, on top of the model's forward pass (`session.py`): rows are sorted by length, a finished
row leaves at once and a waiting one takes its slot. All randomness and all steering belong to the row, so a row's
result does not depend on its neighbours beyond floating-point noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from mindgap.backends.local import chat, sampling
from mindgap.backends.local.architecture import find_blocks, stop_tokens
from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.feature_edits import FeatureTable
from mindgap.backends.local.session import PROMPT_TOKENS_PER_PASS as PROMPT_TOKENS_PER_PASS
from mindgap.backends.local.session import Batch, Row, Session
from mindgap.backends.local.steering import Steering, build_tables, check_edits, is_constant
from mindgap.core.edits import Edit, FeatureEdit
from mindgap.core.errors import UnavailableError
from mindgap.core.records import Completion, Request
from mindgap.sae.sae import SAE


class Engine:
    """A loaded model. `max_rows` bounds the batch; the memory at hand may bound it further.

    open_sae: opens the model's SAE, when it is first needed; None = it has none.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, *, max_rows: int, open_sae: Callable[[], SAE] | None = None
    ) -> None:
        self._open_sae = open_sae
        self.model, self.tokenizer, self.max_rows = model.eval(), tokenizer, max_rows
        config: Any = model.config
        self.config = config.get_text_config() if hasattr(config, "get_text_config") else config
        self.blocks = find_blocks(model, self.config.num_hidden_layers)
        self.device: torch.device = next(model.parameters()).device
        self.dtype: torch.dtype = next(model.parameters()).dtype
        self.stops = stop_tokens(model, tokenizer)

    @property
    def layers(self) -> int:
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        return int(self.config.hidden_size)

    @property
    def context(self) -> int:
        """Longest sequence, in tokens. Inside a sliding window full attention is the same thing, beyond it is not."""
        limits = [getattr(self.config, name, None) for name in ("max_position_embeddings", "sliding_window")]
        return min((limit for limit in limits if limit), default=2**31)

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
        """The steering of a run whose requests have these edits. Raises ValueError for one the model cannot take."""
        uses_features = any(isinstance(edit, FeatureEdit) for request in edits for edit in request)
        sae = self.sae if uses_features else None
        check_edits(edits, self.layers, self.d_model, sae)
        constant = [[edit for edit in request if is_constant(edit)] for request in edits]
        tables = build_tables(constant, sae, self.d_model, self.device, self.dtype)
        varying = [[e for e in request if isinstance(e, FeatureEdit) and not is_constant(e)] for request in edits]
        if sae is None or not any(varying):
            return Steering(self.blocks, tables)
        whole = self.resident_sae if sae.k is not None else None
        return Steering(self.blocks, tables, FeatureTable(varying, whole or sae, self.device))

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Yield `(index, completion)` as rows finish. A request that does not fit is an error completion."""
        for finished in self.run(requests):
            yield from finished

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Completion]]]:
        """Likewise, with one list for every decode step, of what it finished; often empty."""
        waiting: list[Row] = []
        for index, request in enumerate(requests):
            prompt = chat.encode_prompt(self.tokenizer, request.messages)
            if len(prompt) + request.decoding.max_tokens > self.context:
                reason = (
                    f"prompt of {len(prompt)} tokens plus max_tokens {request.decoding.max_tokens} exceeds "
                    f"the model's context of {self.context}"
                )
                yield [(index, Completion("", "error", prompt_tokens=len(prompt), error=reason))]
            else:
                uniform = sampling.draws(request.seed, request.decoding)
                waiting.append(Row(index, prompt, request.decoding, uniform, request.edits))
        if not waiting:
            return
        waiting.sort(key=lambda row: len(row.prompt))  # taken from the end: longest first, groups alike in length
        longest = max(len(row.prompt) + row.decoding.max_tokens for row in waiting)
        slots = min(self.rows_in_memory(longest), len(waiting))
        session = Session(self, slots=slots, capacity=longest, edits=[request.edits for request in requests])
        while waiting or session.rows:
            free = slots - len(session.rows)
            # Waiting for a few free slots keeps the passes over prompts large enough to be efficient.
            if waiting and free >= max(1, slots // 8):
                session.admit([waiting.pop() for _ in range(min(free, len(waiting)))])
            session.step()
            finished = [slot for slot, row in enumerate(session.rows) if self._is_done(row)]
            yield [(session.rows[slot].index, self._completion(session.rows[slot])) for slot in finished]
            session.remove(finished)

    def pass_over_prompts(
        self, prompts: list[list[int]], requests: list[int], cache: SlotCache, steering: Steering
    ) -> None:
        tokens, real = self.padded(prompts)
        steering.rows_are(torch.tensor(requests, device=self.device), response=False, real=real)
        positions = torch.arange(tokens.shape[1], device=self.device)[None].expand_as(tokens)
        self.forward(tokens, positions, None, cache, steering, logits_to_keep=1)

    def _step(self, active: Sequence[Row], batch: Batch, cache: SlotCache, steering: Steering) -> list[int]:
        """One token for every active row."""
        tokens = torch.tensor([[row.next_token] for row in active], device=self.device)
        positions = torch.tensor([[row.position] for row in active], device=self.device)
        mask = cache.begin_extension(positions, max(row.position for row in active) + 1)
        logits = self.forward(tokens, positions, mask, cache, steering)[:, -1]
        uniform = torch.tensor([row.uniform[len(row.reply)] for row in active], device=self.device)
        chosen: list[int] = sampling.choose(logits, batch.temperature, batch.top_p, uniform).tolist()
        return chosen

    def _is_done(self, row: Row) -> bool:
        return row.reply[-1] in self.stops or len(row.reply) == row.decoding.max_tokens

    def _completion(self, row: Row) -> Completion:
        stopped = row.reply[-1] in self.stops
        text = self.tokenizer.decode(row.reply[:-1] if stopped else row.reply, skip_special_tokens=True)
        return Completion(text, "stop" if stopped else "length", len(row.prompt), len(row.reply))

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
        mask: torch.Tensor | None,
        cache: SlotCache,
        steering: Steering,
        logits_to_keep: int = 0,
    ) -> torch.Tensor:
        """Logits `[rows, tokens, vocabulary]` of one pass that reads and writes `cache`."""
        with steering:  # only here: between passes the caller may use the model for something else
            output = self.model(
                input_ids=tokens,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=logits_to_keep,
            )
        logits: torch.Tensor = output.logits
        return logits

    def rows_in_memory(self, length: int) -> int:
        """How many rows of `length` tokens fit half the free memory, at least 1 and at most `max_rows`."""
        return max(1, min(self.max_rows, int(self.free_memory() / 2 / self.row_memory(length))))

    def row_memory(self, length: int) -> int:
        """Bytes that a row of `length` tokens takes: keys, values and logits."""
        config = self.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        cache = 2 * self.layers * heads * width * length * self.dtype.itemsize
        logits = 4 * 4 * int(config.vocab_size)
        return int(cache + logits)

    def free_memory(self) -> int:
        """Bytes that are free where the model is."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        import psutil

        return int(psutil.virtual_memory().available)
