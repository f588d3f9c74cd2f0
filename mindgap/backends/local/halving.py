"""What to do where memory runs out in a pass: take half as many rows, now and from now on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from mindgap.backends.local.engine import Engine
from mindgap.core.errors import UnavailableError

Row = TypeVar("Row")
Result = TypeVar("Result")


class TooLargeError(UnavailableError):
    """The memory here cannot hold a pass over one row alone."""


def in_halves(
    engine: Engine, rows: Sequence[Row], work: Callable[[Sequence[Row]], Result]
) -> list[tuple[Sequence[Row], Result]]:
    """What `work` makes of all rows at once, or of parts of them where memory does not suffice.

    Args:
        engine: Is told to take less from now on.
        rows: At least one.
        work: One pass. It changes nothing where it runs out of memory.

    Returns:
        Each part that came through, and what came of it.

    Raises:
        TooLargeError: Where one row is too much.
    """
    try:
        return [(rows, work(rows))]
    except torch.OutOfMemoryError as error:
        reason = why_too_large(error)
    # not in the handler: the error holds on to the tensors of the pass
    free(engine)
    if len(rows) < 2:
        raise TooLargeError(reason)
    engine.take_less(len(rows))
    middle = len(rows) // 2
    return [part for half in (rows[:middle], rows[middle:]) for part in in_halves(engine, half, work)]


def why_too_large(error: BaseException) -> str:
    """Why a row alone cannot be answered."""
    first = (str(error).strip().splitlines() or ["no reason given"])[0]
    return f"the memory here does not suffice for one row of this length ({first[:200]})"


def free(engine: Engine) -> None:
    """Give back the memory that nothing holds any more."""
    gc.collect()
    if engine.device.type == "cuda":
        torch.cuda.empty_cache()
