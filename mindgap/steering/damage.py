"""Strength by a limit on damage: how far the model is moved from itself, on text that has to do with no query."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability
from mindgap.backends.fetch import completions, option_scores
from mindgap.core.directions import DirectionEdit
from mindgap.core.edits import Declined, Edit
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Decoding, Message, OptionsRequest, Request
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.strength import ResidualNorm, Strength, relative_dose
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts, reference_norm

log = logging.getLogger(__name__)

Edits = tuple[Edit, ...]

PROMPTS = slice(24, 32)
"""Contrast prompts whose replies are looked at."""
FIRST_DOSE = 0.3
"""Relative dose that is tried first."""
ROUNDS = 2
"""How often a strength is tried and corrected."""
NEAR = 1.1
"""A strength is right up to so many times the limit."""
FASTEST = 2.5
"""Most that a correction changes the strength."""
EQUAL_ROUNDS = 8
"""How often a strength is tried at most where all methods shall do equal damage."""


@dataclass(frozen=True)
class Dosed:
    """Edits at a strength that was tried out.

    Attributes:
        edits: At that strength.
        dose: Their relative dose.
        damage: Estimated Kullback-Leibler divergence from the unsteered model, nats per token of what that one says.
    """

    edits: Edits
    dose: float
    damage: float


@dataclass(frozen=True)
class Damage:
    """`conf/strength/damage.yaml`: every method as strong as makes the model move equally far from itself.

    Attributes:
        nats: Divergence from the unsteered model on unrelated text, nats per token; within a tenth of it where that
            can be reached.
        dose: Largest relative dose; a method that does less damage there stays at it.
    """

    nats: float = 1.0
    dose: float = 4.0
    needs: ClassVar[frozenset[Capability]] = frozenset({"loglikelihood", "residual"})

    def __post_init__(self) -> None:
        for name in ("nats", "dose"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"strength.{name}={getattr(self, name)}: must be a number above 0")

    @property
    def label(self) -> str:
        """For folders and tables."""
        return f"damage{self.nats:g}"

    def reached(self, made: Sequence[Edits | Declined], bench: SteeringBench) -> list[Edits | Declined]:
        """The edits at this strength; what was declined stays so."""
        strong: list[Edits | Declined] = []
        for tried in dosed(made, self.nats, bench, self.dose, equal=True):
            if isinstance(tried, Declined):
                strong.append(tried)
                continue
            log.info("%s: dose %.3f, damage %.2f nats per token", tried[-1].edits[0], tried[-1].dose, tried[-1].damage)
            strong.append(tried[-1].edits)
        return strong


def at_strength(
    strength: Strength | Damage, made: Sequence[Edits | Declined], bench: SteeringBench, norm: ResidualNorm
) -> list[Edits | Declined]:
    """What a method makes, at a strength of any kind; what was declined stays so."""
    if isinstance(strength, Damage):
        return strength.reached(made, bench)
    return [edits if isinstance(edits, Declined) else strength.apply(edits, norm) for edits in made]


def at_damage(
    proposed: Sequence[Edits],
    limit: float,
    bench: SteeringBench,
    largest: float,
    *,
    equal: bool = False,
) -> list[list[Dosed]]:
    """What was tried for each set of edits, the last being the strongest that keeps within the limit.

    Damage goes about with the square of the dose, by which each trial is corrected into the next. A condition on the
    prompt is measured as if it held, as it is in the dose.

    Args:
        proposed: Edits of any kind, whose dose is not 0.
        limit: In nats per token.
        bench: Where it is measured.
        largest: Largest relative dose.
        equal: Come as near to the limit as can be, in more trials; else what was tried first and keeps within it will
            do.
    """
    rounds, decimals = (EQUAL_ROUNDS, 3) if equal else (ROUNDS, 2)
    native = [_native_dose(edits, bench) for edits in proposed]
    doses = np.full(len(proposed), min(FIRST_DOSE, largest))
    tried: list[list[Dosed]] = [[] for _ in proposed]
    for _ in range(rounds):
        edits = [_scaled(row, dose / own) for row, dose, own in zip(proposed, doses, native, strict=True)]
        for trials, row, dose, lost in zip(tried, edits, doses, damages([*map(_held, edits)], bench), strict=True):
            trials.append(Dosed(row, float(dose), lost))
        lost_now = np.array([trials[-1].damage for trials in tried])
        faster = np.clip((limit / np.maximum(lost_now, 1e-3)) ** 0.5, 1 / FASTEST, FASTEST)
        if equal:  # what is there stays, and costs nothing more: the store knows it
            faster[(lost_now <= limit * NEAR) & (lost_now >= limit / NEAR)] = 1
        # Rounded, so that the noise of a batch's arithmetic does not make another edit of it.
        doses = np.minimum(np.maximum(np.round(doses * faster, decimals), 0.1**decimals), largest)
    return [sorted(trials, key=lambda dosed: _preference(dosed, limit)) for trials in tried]


def dosed(
    made: Sequence[Edits | Declined],
    limit: float,
    bench: SteeringBench,
    largest: float,
    *,
    equal: bool = False,
) -> list[list[Dosed] | Declined]:
    """`at_damage` of what was made; what was declined stays so."""
    proposed = [edits for edits in made if not isinstance(edits, Declined)]
    tried = iter(at_damage(proposed, limit, bench, largest, equal=equal))
    return [edits if isinstance(edits, Declined) else next(tried) for edits in made]


def damages(edits: Sequence[Edits], bench: SteeringBench) -> list[float]:
    """For each set of edits: how much less likely the unsteered model's own sampled replies are, nats per token.

    The mean over samples estimates the Kullback-Leibler divergence from the unsteered model; of a small one it can
    come out below 0.
    """
    texts = sampled(bench)
    rows: list[Edits] = [(), *edits]
    asked = [
        [OptionsRequest(bench.endpoint.identity, messages, (reply,), row) for messages, reply in texts] for row in rows
    ]
    scores = option_scores([request for row in asked for request in row], bench.endpoint, bench.store)
    means = [float(np.mean([scores[request.key].per_token()[0] for request in row])) for row in asked]
    return [means[0] - mean for mean in means[1:]]


def sampled(bench: SteeringBench) -> list[Text]:
    """The unsteered model's replies at temperature 1, to prompts that nothing else uses."""
    decoding = Decoding(max_tokens=CONTRAST_TOKENS, temperature=1, top_p=1)
    requests = [
        Request(
            bench.endpoint.identity,
            (Message("user", prompt),),
            decoding,
            int(content_key("neutral", n=number, seed=bench.seed)[:15], 16),
        )
        for number, prompt in enumerate(contrast_prompts(10**6)[PROMPTS])
    ]
    replies = completions(requests, bench.endpoint, bench.store)
    return [(request.messages, text) for request in requests if (text := replies[request.key].text.strip())]


def _preference(dosed: Dosed, limit: float) -> tuple[bool, float]:
    """Larger is better: within the limit rather than not; then the stronger there, and the weaker beyond."""
    within = dosed.damage <= limit * NEAR
    return within, dosed.dose if within else -dosed.dose


def dose_of(edits: Edits, bench: SteeringBench) -> float | None:
    """See `relative_dose`."""
    return relative_dose(edits, lambda layer: reference_norm(bench, layer))


def _native_dose(edits: Edits, bench: SteeringBench) -> float:
    dose = dose_of(edits, bench)
    if not dose:
        raise ConfigError(
            "method.interventions: damage sets a strength, and these edits change nothing that has one. "
            "Use strength=native without damage"
        )
    return dose


def _held(edits: Edits) -> Edits:
    """The edits without their conditions on the prompt."""
    return tuple(replace(edit, gate=None) if isinstance(edit, DirectionEdit) else edit for edit in edits)


def _scaled(edits: Edits, factor: float) -> Edits:
    return tuple(edit.scaled(float(factor)) for edit in edits)
