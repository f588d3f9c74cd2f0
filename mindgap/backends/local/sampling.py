"""Choosing the next token: greedy or top-p, with randomness that belongs to the request and not to the batch."""

from __future__ import annotations

import numpy as np
import torch

from mindgap.core.records import Decoding

_FIRST_LOOK = 256


def draws(seed: int, decoding: Decoding) -> np.ndarray:
    """One uniform number in [0, 1) per token that a request may generate: float32 `[max_tokens]`.

    Counter-based (Philox) and keyed by the request's seed alone, so that batch size, order and neighbours
    change nothing. Greedy requests draw nothing and get zeros.
    """
    if decoding.temperature == 0:
        return np.zeros(decoding.max_tokens, dtype=np.float32)
    return np.random.Generator(np.random.Philox(key=seed % 2**64)).random(decoding.max_tokens, dtype=np.float32)


BROKEN = -1
"""Stands for the token of a row whose logits are not numbers: no token can be chosen from them."""


def choose(logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Next token of every row: int64 `[rows]`; `BROKEN` where a row's logits hold NaN or no finite maximum.

    Temperature 0 takes the most likely token. Otherwise the smallest set of most likely tokens whose probability
    reaches `top_p` is kept, and `uniform` picks from it by inverting the cumulative distribution (nucleus sampling,
    Holtzman et al. 2020).

    Args:
        logits: `[rows, vocabulary]`.
        temperature: `[rows]`.
        top_p: `[rows]`.
        uniform: `[rows]`, in [0, 1).
    """
    highest, greedy = logits.max(-1)  # NaN where any is
    broken = ~torch.isfinite(highest)
    return torch.where(broken, BROKEN, _chosen(logits, greedy, broken, temperature, top_p, uniform))


def _chosen(
    logits: torch.Tensor,
    greedy: torch.Tensor,
    broken: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor,
    uniform: torch.Tensor,
) -> torch.Tensor:
    sampled = (temperature > 0) & ~broken
    if not bool(sampled.any()):
        return greedy
    usable = torch.where(broken[:, None], 0.0, logits.float())
    scaled = usable / torch.where(sampled, temperature, 1.0)[:, None]
    probabilities = torch.softmax(scaled, -1)
    # Sorting the whole vocabulary is the slow part on a CPU, and the nucleus is nearly always among the first few.
    looked_at = min(_FIRST_LOOK, logits.shape[-1])
    kept, tokens = probabilities.topk(looked_at)
    chosen = torch.where(sampled, _picked(kept, tokens, top_p, uniform), greedy)
    wider = sampled & (kept.sum(-1) < top_p)
    if looked_at < logits.shape[-1] and bool(wider.any()):
        kept, tokens = probabilities[wider].sort(-1, descending=True)
        chosen[wider] = _picked(kept, tokens, top_p[wider], uniform[wider])
    return chosen


def _picked(kept: torch.Tensor, tokens: torch.Tensor, top_p: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The token of each row that `uniform` falls on; `kept` are probabilities of `tokens`, largest first."""
    cumulative = kept.cumsum(-1)
    kept = kept * (cumulative - kept < top_p[:, None])
    cumulative = kept.cumsum(-1)
    picked = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(-1)
    picked = picked.clamp(max=(kept > 0).sum(-1) - 1)
    return tokens.gather(-1, picked[:, None])[:, 0]
