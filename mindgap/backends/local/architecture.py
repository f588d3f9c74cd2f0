"""What the engine needs to know of a model's architecture: its blocks, its kinds of attention, its longest text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mindgap.core.errors import UnavailableError

Masks = torch.Tensor | Mapping[str, torch.Tensor]
"""An attention mask, or one for each kind of layer."""
FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"
LONGROPE, DYNAMIC = "longrope", "dynamic"
"""Kinds of rotary scaling whose frequencies change with the longest text of a batch: LongRoPE has one set of them up to
the length that a model was first trained on and another beyond it; dynamic scaling has others for every length."""
WINDOW_BY_LENGTH = ("gpt_neo",)
"""Kinds of model whose window moves with the longest text of a batch."""
UNBOUNDED = 2**31


@dataclass(frozen=True)
class Attention:
    """How a model's layers look back, as far as masks and caches are concerned.

    Attributes:
        kinds: Kinds of its layers, in the words of transformers.
        window: Tokens that a sliding layer sees, its own included; None where it has none.
        chunk: Tokens of a chunk that a chunked layer does not look beyond; None where it has none.
        additive: Whether masks are added to the scores (eager attention) instead of choosing among them.
        context: Longest text, in tokens.
        shared: Longest text that may share a pass with others; a longer one would change what is read of them.
    """

    kinds: frozenset[str]
    window: int | None
    chunk: int | None
    additive: bool
    context: int
    shared: int

    @property
    def fits_slots(self) -> bool:
        """Whether keys and values of a slot are all that a layer remembers."""
        return self.kinds <= {FULL, SLIDING, CHUNKED}

    def masks(self, positions: torch.Tensor, span: int, dtype: torch.dtype) -> Masks:
        """What tokens at `positions`, `[rows, tokens]`, see of the first `span` positions of their slots.

        Each sees its slot up to itself, as far as its layer looks back. Masks are `[rows, 1, tokens, span]`: bool, or
        numbers of `dtype` to be added; one for each kind of layer where there are several.
        """
        seen = torch.arange(span, device=positions.device)[None, None, :]
        own = positions[:, :, None]
        by_kind = {kind: self._mask(kind, seen, own, dtype)[:, None] for kind in sorted(self.kinds)}
        return by_kind if len(by_kind) > 1 else next(iter(by_kind.values()))

    def _mask(self, kind: str, seen: torch.Tensor, own: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        allowed = seen <= own
        if kind == SLIDING and self.window is not None:
            allowed = allowed & (seen > own - self.window)
        if kind == CHUNKED and self.chunk is not None:
            allowed = allowed & (seen // self.chunk == own // self.chunk)
        if not self.additive:
            return allowed
        return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(
            ~allowed, torch.finfo(dtype).min
        )


def text_config(model: nn.Module) -> Any:
    """The configuration of the model's text part, which is the whole of most models."""
    config: Any = model.config
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def size_of(config: Any, name: str) -> int:
    """A size that a text configuration gives.

    Raises:
        UnavailableError: Where it gives none.
    """
    size = getattr(config, name, None)
    if not isinstance(size, int):
        raise UnavailableError(
            f"the configuration of this model ({type(config).__name__}) gives no {name}: models of this kind are not "
            "supported"
        )
    return size


def layer_configs(config: Any) -> list[Any]:
    """The configuration of each layer: the text's own, where layers do not differ in their sizes."""
    layers = getattr(config, "per_layer_config", None)
    return list(layers) if layers else [config] * size_of(config, "num_hidden_layers")


def cached_numbers(config: Any) -> int:
    """How many numbers the keys of one token take in a layer of this configuration, at most."""
    queries = getattr(config, "num_attention_heads", None) or 1  # none where nothing attends
    heads = getattr(config, "num_key_value_heads", None) or queries
    width = getattr(config, "head_dim", None) or size_of(config, "hidden_size") // _largest(queries)
    return _largest(heads) * _largest(width)


def _largest(sizes: int | Sequence[int]) -> int:
    """A size that all layers share, or the largest where each has its own."""
    return int(sizes) if isinstance(sizes, int) else max(sizes)


def attention_of(model: nn.Module, config: Any) -> Attention:
    """How the layers of a model with this text configuration look back."""
    window = getattr(config, "sliding_window", None)
    kinds = frozenset(getattr(config, "layer_types", None) or [SLIDING if window else FULL])
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    context, shared = [positions], [positions]
    for rope in _ropes(config):
        kind = rope.get("rope_type", rope.get("type"))
        original = rope.get("original_max_position_embeddings")
        original = original or getattr(config, "original_max_position_embeddings", None)
        if kind == LONGROPE:
            shared.append(original)
        elif kind == DYNAMIC:  # beyond it, what has been read would have to be read anew for every token
            context.append(original)
    if getattr(config, "model_type", "") in WINDOW_BY_LENGTH:
        context.append(getattr(config, "window_size", None))
    longest = min((limit for limit in context if limit), default=UNBOUNDED)
    return Attention(
        kinds=kinds,
        window=window,
        chunk=getattr(config, "attention_chunk_size", None),
        additive=getattr(config, "_attn_implementation", "sdpa") == "eager",
        context=longest,
        shared=min([longest, *(limit for limit in shared if limit)]),
    )


def _ropes(config: Any) -> list[Mapping[str, Any]]:
    """How positions are rotated: one setting, or one for each kind of layer."""
    rope: Any = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return [rope, *(part for part in rope.values() if isinstance(part, Mapping))]


def find_blocks(model: nn.Module, count: int) -> nn.ModuleList:
    """The transformer blocks of the text decoder: the first list in it that has as many entries as there are layers.

    Raises:
        UnavailableError: Where there is none.
    """
    decoder = _text_decoder(model)
    for root in (decoder, model) if decoder is not None else (model,):
        for module in root.modules():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return module
    raise UnavailableError(
        f"{type(model).__name__} has no list of {count} transformer blocks that could be steered: models of this kind "
        "are not supported"
    )


def _text_decoder(model: nn.Module) -> nn.Module | None:
    """The part that reads text: beside a vision tower as deep as it, the first list of blocks may be the tower's."""
    for name in ("get_decoder", "get_text_model"):
        if callable(find := getattr(model, name, None)):
            try:
                decoder = find()
            except (AttributeError, NotImplementedError, TypeError):
                continue
            if isinstance(decoder, nn.Module) and decoder is not model:
                return decoder
    for name in ("language_model", "text_model"):
        for path, module in model.named_modules():
            if path.rpartition(".")[2] == name:
                return module
    return None


def stop_tokens(generation: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end a reply: those of a generation config (None = there is none), the tokenizer's end of sequence."""
    configured = getattr(generation, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)
