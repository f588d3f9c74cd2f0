"""Strength by a limit on damage: how far the model is moved from itself, on text that has to do with no query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindgap.backends.fetch import completions, option_scores
from mindgap.core.edits import Declined, Edit
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Decoding, Message, OptionsRequest, Request
from mindgap.steering.bench import SteeringBench, Text
from mindgap.steering.strength import relative_dose
from mindgap.steering.vectors import CONTRAST_TOKENS, contrast_prompts, reference_norm

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


def at_damage(proposed: Sequence[Edits], limit: float, bench: SteeringBench, largest: float) -> list[list[Dosed]]:
    """What was tried for each set of edits, the last being the strongest that keeps within the limit.

    Damage goes about with the square of the dose, by which each trial is corrected into the next.

    Args:
        proposed: Edits of any kind, whose dose is not 0.
        limit: In nats per token.
        bench: Where it is measured.
        largest: Largest relative dose.
    """
    native = [_native_dose(edits, bench) for edits in proposed]
    doses = np.full(len(proposed), min(FIRST_DOSE, largest))
    tried: list[list[Dosed]] = [[] for _ in proposed]
    for _ in range(ROUNDS):
        edits = [_scaled(row, dose / own) for row, dose, own in zip(proposed, doses, native, strict=True)]
        for trials, row, dose, lost in zip(tried, edits, doses, damages(edits, bench), strict=True):
            trials.append(Dosed(row, float(dose), lost))
        lost_now = np.array([trials[-1].damage for trials in tried])
        faster = np.clip((limit / np.maximum(lost_now, 1e-3)) ** 0.5, 1 / FASTEST, FASTEST)
        # In whole hundredths, so that the noise of a batch's arithmetic does not make another edit of it.
        doses = np.minimum(np.maximum(np.round(doses * faster, 2), 0.01), largest)
    return [sorted(trials, key=lambda dosed: _preference(dosed, limit)) for trials in tried]


def dosed(
    made: Sequence[Edits | Declined], limit: float, bench: SteeringBench, largest: float
) -> list[list[Dosed] | Declined]:
    """`at_damage` of what was made; what was declined stays so."""
    tried = iter(at_damage([edits for edits in made if not isinstance(edits, Declined)], limit, bench, largest))
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
        raise ConfigError("method.interventions: damage sets a strength, and these edits change nothing that has one")
    return dose


def _scaled(edits: Edits, factor: float) -> Edits:
    return tuple(edit.scaled(float(factor)) for edit in edits)
