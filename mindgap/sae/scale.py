"""The typical maximum activation of a feature, from counts alone."""

from __future__ import annotations

import numpy as np

QUANTILE = 0.995
PER_OCTAVE = 8
LOWEST, HIGHEST = -12, 16
"""Powers of two between which activations are told apart, `PER_OCTAVE` steps each: wide enough for any SAE we know."""


class Histogram:
    """How often each feature had which activation: counts `[features, bins]`, bins of equal ratio."""

    def __init__(self, features: int) -> None:
        self._counts = np.zeros((features, (HIGHEST - LOWEST) * PER_OCTAVE), dtype=np.int32)

    def add(self, features: np.ndarray, activations: np.ndarray) -> None:
        """Count activations above 0, each with its feature: both `[active]`."""
        bins = np.floor((np.log2(activations) - LOWEST) * PER_OCTAVE).astype(np.int64)
        np.add.at(self._counts, (features, bins.clip(0, self._counts.shape[1] - 1)), 1)

    def scales(self, maxima: np.ndarray) -> np.ndarray:
        """Typical maximum activation of every feature: float32 `[features]`; 0 where it was never active.

        The 99.5 % quantile of its activations above 0. Not the maximum, which rests on one token and grows with the
        text that was read; not a mean, which says how strong the feature is when it is hardly there. Within a bin the
        quantile is interpolated; it is at most `maxima` `[features]`, which it is for a feature seen a few times.
        """
        total = self._counts.sum(1)
        wanted = QUANTILE * total
        reached = self._counts.cumsum(1)
        bins = (reached < wanted[:, None]).sum(1).clip(max=self._counts.shape[1] - 1)
        rows = np.arange(len(bins))
        inside = np.maximum(self._counts[rows, bins], 1)
        share = 1 - (reached[rows, bins] - wanted) / inside
        quantile = 2.0 ** (LOWEST + (bins + share) / PER_OCTAVE)
        return np.where(total > 0, np.minimum(quantile, maxima), 0).astype(np.float32)
