"""How much an edit that depends on the token changes the residual stream, measured on the unsteered model's replies."""

from __future__ import annotations

import numpy as np

from mindgap.core.directions import DirectionEdit
from mindgap.steering.bench import SteeringBench
from mindgap.steering.vectors import neutral_texts

TEXTS = 4
"""Neutral replies that are looked at."""


def typical_change(edit: DirectionEdit, bench: SteeringBench) -> float | None:
    """Mean norm of what the edit at share 1 adds over neutral replies' tokens; None where the vector itself tells.

    In units of the residual stream; over its median norm there it is the relative dose.
    """
    if edit.operation in ("add", "add_constant_norm"):
        return None
    streams = [bench.stream(text, edit.layer) for text in neutral_texts(bench, TEXTS)]
    tokens = np.concatenate(streams) if streams else np.zeros((1, len(edit.vector)), dtype=np.float32)
    if edit.operation == "rank_one":
        assert edit.second is not None
        return float(np.mean(np.abs(tokens @ edit.second + edit.offset)))
    along = tokens @ edit.unit
    if edit.operation == "rotate":
        assert edit.second is not None
        across = tokens @ edit.second
        turn = np.deg2rad(edit.degrees) - np.arctan2(across, along)
        return float(np.mean(2 * np.hypot(along, across) * np.abs(np.sin(turn / 2))))
    low, high = (0.0, 0.0) if edit.operation == "ablate" else (edit.low, edit.high)
    return float(np.mean(np.abs(np.clip(along, low, high) - along)))
