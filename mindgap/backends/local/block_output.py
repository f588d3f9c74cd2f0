"""What a block of a model returns: the residual stream, in most architectures; in others it is the first of several."""

from __future__ import annotations

from typing import Any

import torch


def stream_of(output: Any) -> torch.Tensor:
    """The residual stream `[rows, tokens, d_model]` in what a block returned."""
    stream: torch.Tensor = output[0] if isinstance(output, tuple | list) else output
    return stream


def with_stream(output: Any, stream: torch.Tensor) -> Any:
    """What a block returned, with another residual stream."""
    if isinstance(output, tuple):
        return (stream, *output[1:])
    return [stream, *output[1:]] if isinstance(output, list) else stream
