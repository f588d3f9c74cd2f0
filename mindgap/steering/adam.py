"""Training a few parameters by Adam, kept in the store epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mindgap.steering.bench import SteeringBench

ADAM = (0.9, 0.999, 1e-8)
"""The two decays and epsilon of Adam (Kingma and Ba 2015, arXiv 1412.6980)."""


def resumed(bench: SteeringBench, key: Callable[[int], str], start: np.ndarray, epochs: int) -> tuple[np.ndarray, int]:
    """The last state that the store knows, and how many epochs it has seen.

    Args:
        bench: Whose store.
        key: Of the state after so many epochs.
        start: The parameters, float32 `[parameters]`, before the first.
        epochs: How many there shall be.

    Returns:
        `[3, parameters]`: the parameters and Adam's two moments.
    """
    for epoch in range(epochs, 0, -1):
        if (known := bench.store.array(key(epoch))) is not None:
            return known.copy(), epoch
    return np.stack([start, np.zeros_like(start), np.zeros_like(start)]).astype(np.float32), 0


def adam(state: np.ndarray, gradient: np.ndarray, step: int, size: float | np.ndarray) -> None:
    """One step downhill, without weight decay, in place.

    Args:
        state: See `resumed`.
        gradient: Of what shall become small, `[parameters]`.
        step: Counted from 1.
        size: Of a step, the same or one for each parameter.
    """
    first, second, epsilon = ADAM
    state[1] = first * state[1] + (1 - first) * gradient
    state[2] = second * state[2] + (1 - second) * gradient**2
    mean, square = state[1] / (1 - first**step), state[2] / (1 - second**step)
    state[0] -= size * mean / (np.sqrt(square) + epsilon)
