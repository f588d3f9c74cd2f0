"""What a reply of a cell takes: tokens, time, and money where it is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mindgap.core.columns import facts
from mindgap.results.cell import CellResult


@dataclass(frozen=True)
class Price:
    """Of one reply, on average. What is not known is None.

    Attributes:
        read: Tokens read.
        written: Tokens written.
        usd: In US dollars, where the model is paid by the token.
        seconds: On the machine of the sweep, with scoring and judging; None where replies came from the store.
        judge_usd: Of its judgement, in US dollars.
    """

    read: float | None = None
    written: float | None = None
    usd: float | None = None
    seconds: float | None = None
    judge_usd: float | None = None


def price_of(cell: CellResult) -> Price:
    """What a reply of `cell` takes, from what its samples say."""
    samples = len(cell.records)
    if not samples:
        return Price()
    read, written = (_mean(facts(cell.records, name)) for name in ("prompt_tokens", "completion_tokens"))
    made = cell.counts.get("made", 0)
    return Price(
        read,
        written,
        _usd(cell, read, written),
        cell.seconds / samples if cell.seconds and made >= samples else None,
        None if cell.judge_usd is None else cell.judge_usd / samples,
    )


def _mean(tokens: Sequence[int | None]) -> float | None:
    known = [count for count in tokens if count is not None]
    return sum(known) / len(known) if known else None


def _usd(cell: CellResult, read: float | None, written: float | None) -> float | None:
    backend = str((cell.config.get("backend") or {}).get("_target_", ""))
    if not backend.endswith(".LiteLLMBackend") or read is None or written is None:
        return None
    from mindgap.providers.chat import prices

    by_token = prices(str((cell.config.get("model") or {}).get("litellm_id") or ""))
    return None if by_token is None else read * by_token[0] + written * by_token[1]
