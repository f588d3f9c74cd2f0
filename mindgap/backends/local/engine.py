"""Generation and scoring on a Hugging Face causal LM, differently steered rows sharing one batch.

The decode loop is our own, on top of the model's forward pass: rows are sorted by length, a finished row leaves at
once and a waiting one takes its slot. All randomness and all steering belong to the row, so a row's result does not
depend on its neighbours beyond floating-point noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from mindgap.backends.local import chat, sampling
from mindgap.backends.local.architecture import find_blocks, stop_tokens
from mindgap.backends.local.cache import SlotCache
from mindgap.backends.local.steering import Steering, build_tables
from mindgap.records import Completion, Request

PROMPT_TOKENS_PER_PASS = 4096
"""Most tokens, padding included, that one pass over prompts or scored texts carries."""


@dataclass
class _Row:
    """One request on its way through the batch."""

    index: int
    prompt: list[int]
    uniform: np.ndarray
    reply: list[int] = field(default_factory=list)

    @property
    def next_token(self) -> int:
        return self.reply[-1] if self.reply else self.prompt[-1]

    @property
    def position(self) -> int:
        """Where `next_token` goes in the row's slot."""
        return len(self.prompt) - 1 + len(self.reply)


class Engine:
    """A loaded model. `max_rows` bounds the batch; the memory at hand may bound it further."""

    def __init__(self, model: nn.Module, tokenizer: Any, *, max_rows: int) -> None:
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

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Yield `(index, completion)` as rows finish. A request that does not fit is an error completion."""
        waiting: list[_Row] = []
        for index, request in enumerate(requests):
            prompt = chat.encode_prompt(self.tokenizer, request.messages)
            if len(prompt) + request.decoding.max_tokens > self.context:
                reason = (
                    f"prompt of {len(prompt)} tokens plus max_tokens {request.decoding.max_tokens} exceeds "
                    f"the model's context of {self.context}"
                )
                yield index, Completion("", "error", prompt_tokens=len(prompt), error=reason)
            else:
                waiting.append(_Row(index, prompt, sampling.draws(request.seed, request.decoding)))
        if not waiting:
            return
        waiting.sort(key=lambda row: len(row.prompt))  # taken from the end: longest first, groups alike in length
        longest = max(len(row.prompt) + requests[row.index].decoding.max_tokens for row in waiting)
        slots = min(self.rows_in_memory(longest), len(waiting))
        cache = SlotCache(self.layers, slots, longest)
        tables = build_tables([r.edits for r in requests], self.layers, self.d_model, self.device, self.dtype)
        steering = Steering(self.blocks, tables)
        active: list[_Row] = []
        batch = _Batch(active, requests, self.device)
        while waiting or active:
            # Waiting for a few free slots keeps the passes over prompts large enough to be efficient.
            if waiting and len(active) <= slots - max(1, slots // 8):
                while waiting and len(active) < slots:
                    active += self._read_prompts(waiting, slots - len(active), len(active), cache, steering)
                batch = _Batch(active, requests, self.device)
                steering.rows_are(batch.index, response=True)
            for row, token in zip(active, self._step(active, batch, cache, steering), strict=True):
                row.reply.append(token)
            finished = [slot for slot, row in enumerate(active) if self._is_done(row, requests[row.index])]
            for slot in finished:
                yield active[slot].index, self._completion(active[slot])
            if finished:
                active = _close_ranks(active, finished, cache, self.device)
                batch = _Batch(active, requests, self.device)
                steering.rows_are(batch.index, response=True)

    def _read_prompts(
        self, waiting: list[_Row], free: int, first: int, cache: SlotCache, steering: Steering
    ) -> list[_Row]:
        """Read the next few prompts, all but their last token, into the slots from `first` on."""
        rows = [waiting.pop()]
        width = len(rows[0].prompt) - 1
        while waiting and len(rows) < free and width * (len(rows) + 1) <= PROMPT_TOKENS_PER_PASS:
            rows.append(waiting.pop())
        if width > 0:
            cache.begin_prompts(first)
            self.pass_over_prompts([row.prompt[:-1] for row in rows], [row.index for row in rows], cache, steering)
        return rows

    def pass_over_prompts(
        self, prompts: list[list[int]], requests: list[int], cache: SlotCache, steering: Steering
    ) -> None:
        tokens, real = self.padded(prompts)
        steering.rows_are(torch.tensor(requests, device=self.device), response=False, real=real)
        positions = torch.arange(tokens.shape[1], device=self.device)[None].expand_as(tokens)
        self.forward(tokens, positions, None, cache, steering, logits_to_keep=1)

    def _step(self, active: list[_Row], batch: _Batch, cache: SlotCache, steering: Steering) -> list[int]:
        """One token for every active row."""
        tokens = torch.tensor([[row.next_token] for row in active], device=self.device)
        positions = torch.tensor([[row.position] for row in active], device=self.device)
        mask = cache.begin_extension(positions, max(row.position for row in active) + 1)
        logits = self.forward(tokens, positions, mask, cache, steering)[:, -1]
        uniform = torch.tensor([row.uniform[len(row.reply)] for row in active], device=self.device)
        chosen: list[int] = sampling.choose(logits, batch.temperature, batch.top_p, uniform).tolist()
        return chosen

    def _is_done(self, row: _Row, request: Request) -> bool:
        return row.reply[-1] in self.stops or len(row.reply) == request.decoding.max_tokens

    def _completion(self, row: _Row) -> Completion:
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
        config = self.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        cache = 2 * self.layers * heads * width * length * self.dtype.itemsize
        logits = 4 * 4 * int(config.vocab_size)
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
        else:
            import psutil

            free = psutil.virtual_memory().available
        return max(1, min(self.max_rows, int(free / 2 / (cache + logits))))


class _Batch:
    """What stays the same from step to step while the same rows are active: tensors `[rows]` on the device."""

    def __init__(self, active: list[_Row], requests: Sequence[Request], device: torch.device) -> None:
        decoding = [requests[row.index].decoding for row in active]
        self.index = torch.tensor([row.index for row in active], dtype=torch.long, device=device)
        self.temperature = torch.tensor([d.temperature for d in decoding], device=device)
        self.top_p = torch.tensor([d.top_p for d in decoding], device=device)


def _close_ranks(active: list[_Row], finished: list[int], cache: SlotCache, device: torch.device) -> list[_Row]:
    """Move the last rows into the slots of finished ones, so that slots `0 … rows - 1` stay in use."""
    keep = len(active) - len(finished)
    gone = set(finished)
    holes = [slot for slot in finished if slot < keep]
    movers = [slot for slot in range(keep, len(active)) if slot not in gone]
    if holes:
        length = max(active[slot].position for slot in movers)
        cache.move(torch.tensor(movers, device=device), torch.tensor(holes, device=device), length)
    kept = active[:keep]
    for hole, mover in zip(holes, movers, strict=True):
        kept[hole] = active[mover]
    return kept
