"""Reading the unsteered residual stream at the points where steering vectors are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mindgap.backends.base import Point
from mindgap.backends.local.engine import Engine
from mindgap.backends.local.residuals import token_streams
from mindgap.core.records import Message


def read_points(
    engine: Engine, texts: Sequence[tuple[tuple[Message, ...], str] | str], layers: Sequence[int], point: Point
) -> np.ndarray:
    """See `ReadableEndpoint.read`."""
    sequences, starts = [], []
    for text in texts:
        prompt, reply = ([], raw_tokens(engine, text)) if isinstance(text, str) else engine.prompt_and_reply(*text)
        sequences.append(prompt + reply)
        starts.append(len(prompt))
    points = np.full((len(layers), len(texts), engine.d_model), np.nan, dtype=np.float32)
    for index, stream in token_streams(engine, sequences, layers):
        start = starts[index]
        chosen = {"mean": stream[:, start:], "last": stream[:, -1:], "prompt": stream[:, :start]}[point]
        points[:, index] = chosen.mean(1).cpu().numpy()
    return points


def read_tokens(engine: Engine, text: tuple[tuple[Message, ...], str] | str, layer: int, least: int) -> np.ndarray:
    """See `ReadableEndpoint.stream`."""
    prompt, reply = ([], raw_tokens(engine, text)) if isinstance(text, str) else engine.prompt_and_reply(*text)
    reply = reply + [engine.chat.encode(" ")[-1]] * (least - len(reply))
    ((_, stream),) = token_streams(engine, [prompt + reply], [layer])
    tokens: np.ndarray = stream[0, len(prompt) :].cpu().numpy()
    return tokens


def raw_tokens(engine: Engine, text: str) -> list[int]:
    """Token ids of a text as it stands, with the special tokens that the tokenizer puts around any text."""
    tokens: list[int] = engine.tokenizer(text)["input_ids"]
    return tokens[: engine.context]
