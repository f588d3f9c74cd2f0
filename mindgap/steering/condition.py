"""Steering on some prompts only: CAST (Lee et al. 2024, arXiv 2409.05907)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mindgap.core.directions import Gate
from mindgap.core.errors import ConfigError
from mindgap.steering.bench import SteeringBench
from mindgap.steering.estimates import pca
from mindgap.steering.pairs import read_pairs
from mindgap.steering.sources import blocks
from mindgap.storage.named import named_file

WHERE = "method.interventions: condition"


@dataclass(frozen=True)
class PromptCondition:
    """`_target_: mindgap.steering.condition.PromptCondition`.

    The condition vector is the first principal axis of the differences between prompts that are to be steered and
    prompts that are not; a prompt meets the condition by the similarity of its residual stream to it (see `Gate`).
    Block, threshold and side are those that tell the two kinds of prompts in the file apart best, by F1, where they
    are not given.

    Attributes:
        pairs: File of pairs: `positive` is a prompt to be steered, `negative` one that is not.
        layer: Block that is read; None = the best of all.
        threshold: Of the similarity; None = the best there.
        above: Whether prompts above the threshold are steered, or those below; None = whichever is better.
        read: `mean` over the prompt's tokens, or `last`.
    """

    pairs: str = ""
    layer: int | None = None
    threshold: float | None = None
    above: bool | None = None
    read: str = "mean"

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ConfigError(
                f"{WHERE}.pairs is empty; name a file of pairs of prompts, for example "
                "method.interventions.0.condition.pairs=prompts.jsonl"
            )
        if self.read not in ("mean", "last"):
            raise ConfigError(f"{WHERE}.read={self.read!r}, choose mean or last")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise ConfigError(f"{WHERE}.threshold={self.threshold}: a cosine lies between -1 and 1")

    def gate(self, bench: SteeringBench) -> Gate:
        """The condition, found on the pairs. Raises ConfigError for a file or block that is not there."""
        pairs = read_pairs(named_file(self.pairs))
        texts = [text for pair in pairs for text in (pair.positive, pair.negative)]
        if any(isinstance(text, str) or text[1] for text in texts):
            raise ConfigError(f"{WHERE}.pairs={self.pairs}: a condition is on prompts; leave replies out")
        layers = blocks("all" if self.layer is None else (self.layer,), bench.layers)
        streams = bench.read(texts, layers, "last" if self.read == "last" else "prompt")
        best: tuple[float, Gate] | None = None
        for layer, stream in zip(layers, streams, strict=True):
            vector = pca(stream[::2], stream[1::2])
            similar = np.abs(stream @ vector) / np.maximum(np.linalg.norm(stream, axis=1), 1e-12)
            for threshold, above, score in self._candidates(similar):
                if best is None or score > best[0]:
                    read: Literal["mean", "last"] = "last" if self.read == "last" else "mean"
                    best = score, Gate(layer, vector, threshold, above, read=read)
        assert best is not None, "there is one block at least, and one threshold"
        return best[1]

    def _candidates(self, similar: np.ndarray) -> list[tuple[float, bool, float]]:
        """Thresholds, sides and the F1 of each, for similarities of prompts to be steered and not, in turn."""
        values = np.unique(similar)
        between = [float(value) for value in (values[:-1] + values[1:]) / 2] or [float(values[0])]
        thresholds = between if self.threshold is None else [self.threshold]
        wanted = np.arange(len(similar)) % 2 == 0
        found = []
        for threshold in thresholds:
            for above in (True, False) if self.above is None else (self.above,):
                met = similar > threshold if above else similar < threshold
                found.append((threshold, above, 2 * float((met & wanted).sum()) / float(met.sum() + wanted.sum())))
        return found
