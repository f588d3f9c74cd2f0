"""What the engine needs to know of a model's architecture."""

from __future__ import annotations

from typing import Any

from torch import nn


def find_blocks(model: nn.Module, count: int) -> nn.ModuleList:
    """The transformer blocks: the one module list that has as many entries as the config has layers.

    Raises ValueError where there is none, or where the model keeps a recurrent state that slots cannot hold.
    """
    kinds = set(getattr(model.config, "layer_types", None) or [])
    if kinds - {"full_attention", "sliding_attention"}:
        raise ValueError(
            f"layers of kind {', '.join(sorted(kinds))} are not supported: only attention with a KV cache is"
        )
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    if not lists:
        raise ValueError(f"no list of {count} transformer blocks found in {type(model).__name__}")
    return lists[0]


def stop_tokens(model: nn.Module, tokenizer: Any) -> frozenset[int]:
    """Ids that end a reply: those of the generation config and the tokenizer's own end of sequence."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)
