"""What is specific to a behaviour: the direction that its passages have and those of fifty other behaviours have not.

Whatever is common to all text that a model writes on request, whichever behaviour was requested, cancels in the
difference from the *bank*. Two estimates that err in different ways are averaged:

- the mean residual stream over the behaviour's passages, less that over the bank's (where is the model when it shows
  this?);
- the gradient of the passages' log-likelihood by a vector added to the residual stream, less that of the bank's (what
  would make it say this?).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np

from mindgap.core.keys import content_key
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.passages import ASKED, DECODING, UNASKED, passages

log = logging.getLogger(__name__)

Estimate = Literal["both", "mean", "gradient"]

BANK_PASSAGES = 12
"""Passages of each behaviour of the bank."""
BANK_SEED = 0
"""The bank is the same for every seed of an experiment."""


@dataclass(frozen=True)
class Means:
    """Means over a behaviour's passages, at the output of one block; float32.

    Attributes:
        residual: `[d_model]`, the residual stream.
        gradient: `[d_model]`, of the log-likelihood per token (nats) by what is added to it.
    """

    residual: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True)
class Specific:
    """What is specific to one behaviour at one block.

    Attributes:
        direction: Unit vector, float32 `[d_model]`.
        agreement: Cosine between the directions of the two halves of its passages: how surely it is known.
    """

    direction: np.ndarray
    agreement: float


def behaviours_of_the_bank() -> tuple[str, ...]:
    """Fifty diverse behaviours."""
    return tuple(files("mindgap.data").joinpath("behaviours.txt").read_text(encoding="utf-8").splitlines())


def specific(
    shown: Sequence[Text], others: Means, layer: int, bench: SteeringBench, estimate: Estimate = "both"
) -> Specific:
    """What is specific to the behaviour that some passages show.

    Args:
        shown: Its passages, two at least.
        others: The bank at this block.
        layer: Index of the block at whose output it is looked for.
        bench: The model.
        estimate: Which of the two estimates is taken, or their mean.
    """
    measured = []  # a gradient takes a backward pass: only where it is asked for
    if estimate != "gradient":
        measured.append((bench.residuals(shown, layer), others.residual))
    if estimate != "mean":
        measured.append((bench.likelihood_gradients(shown, layer), others.gradient))

    def direction(which: slice) -> np.ndarray:
        return _unit(np.sum([_unit(rows[which].mean(0) - other) for rows, other in measured], axis=0))

    halves = direction(slice(0, None, 2)), direction(slice(1, None, 2))
    return Specific(direction(slice(None)), float(halves[0] @ halves[1]))


def together(parts: Sequence[Specific], signs: Sequence[int]) -> Specific:
    """Several directions as one, each of them towards (1) or away from (-1)."""
    total = np.sum([sign * part.direction for part, sign in zip(parts, signs, strict=True)], axis=0)
    return Specific(_unit(total), min(part.agreement for part in parts))


def bank(layer: int, bench: SteeringBench) -> Means:
    """Means over all behaviours of the bank: shipped for the embedded model, else made once and kept in the store."""
    key = bank_key(layer, bench)
    means = _shipped().get(key)
    if means is None:
        means = bench.store.array(key)
    if means is None:
        means = _make(layer, bench)
        bench.store.put_array(key, means)
    return Means(means[0], means[1])


def bank_key(layer: int, bench: SteeringBench) -> str:
    """Names a bank by everything that can change it."""
    written, read = bench.endpoint.identity, bench.read_as
    return content_key(
        "bank",
        source=written if written == read else f"{written}, read by {read}",
        layer=layer,
        behaviours=behaviours_of_the_bank(),
        asked=ASKED,
        unasked=UNASKED,
        decoding=[DECODING.max_tokens, DECODING.temperature, DECODING.top_p],
        passages=BANK_PASSAGES,
    )


def _make(layer: int, bench: SteeringBench) -> np.ndarray:
    """`[2, d_model]`: mean residual stream, mean gradient. Every passage is kept, so a stopped run goes on."""
    behaviours = behaviours_of_the_bank()
    log.info("writing %d passages of %d behaviours to contrast with, once", BANK_PASSAGES, len(behaviours))
    fixed = SteeringBench(bench.endpoint, bench.store, BANK_SEED)
    written = passages(behaviours, BANK_PASSAGES, fixed, fixed)
    rows = []
    for number, (behaviour, shown) in enumerate(zip(behaviours, written, strict=True), start=1):
        rows.append([bench.residuals(shown, layer).mean(0), bench.likelihood_gradients(shown, layer).mean(0)])
        log.info("contrast %d of %d: %s", number, len(behaviours), behaviour)
    return np.array(rows, dtype=np.float32).mean(0)


@cache
def _shipped() -> dict[str, np.ndarray]:
    """Banks that travel with the package, by key: float32 `[2, d_model]` each."""
    with files("mindgap.data").joinpath("banks.npz").open("rb") as file:
        return dict(np.load(file))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
