"""Auto Steer: from the words of a query to edits of a few SAE features.

The hosted service that did this is gone and its algorithm was never published; this is our own. For each query:

1. The model itself answers prompts with and without the query: the *stimulus*.
2. *Contrast*: how much more active is each feature in the behaving replies, prompt by prompt? (A paired t statistic.)
3. *Causal effect*: would adding the feature's direction make the behaving replies likelier against the neutral ones?
   One backward pass answers for every feature, to first order.
4. Features are ranked by causal effect, by contrast, and by how near their label comes to the query in meaning.
5. The best few are combined by matching pursuit on the gradient, so that two features which say the same count once.
6. How many of them, and how strong, is tried out on prompts that the choice has not seen: the trial that raises the
   behaving replies' likelihood ratio most, with bounded dose and bounded damage, is taken.

Queries, items and judge of the experiment play no part in any of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from mindgap.backends.base import AutoEditing, Capability, FeatureEndpoint
from mindgap.backends.fetch import option_scores
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.edits import FeatureEdit, Positions
from mindgap.core.errors import ConfigError
from mindgap.core.records import OptionsRequest, Query
from mindgap.steering.bench import SteeringBench
from mindgap.steering.features import check_positions, feature_edit
from mindgap.steering.specification import parse
from mindgap.steering.stimulus import Stimulus, hosted_writer, stimuli
from mindgap.steering.strength import relative_dose
from mindgap.steering.vectors import reference_norm

log = logging.getLogger(__name__)

DIRECTIONS_AT_ONCE = 4096
SIZES = (2, 4, 8)
"""Numbers of features that are tried out."""
DOSES = (0.15, 0.25, 0.35)
"""Relative doses that are tried out."""
UNRELATED = 0.02
"""What a label that has nothing to do with the query counts, where one that says the same counts 1 more."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for each feature, `[features]` each.

    Attributes:
        contrast: Paired t statistic of its mean activation, behaving against neutral.
        causal: Change of the log-likelihood ratio (nats per token, behaving against neutral) per unit of relative dose
            along its direction, to first order.
        meaning: How near its label comes to the query, in [-1, 1].
        gradient: `[d_model]`, of the log-likelihood ratio.
    """

    contrast: np.ndarray
    causal: np.ndarray
    meaning: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True)
class Trial:
    """One combination of features and strengths on prompts the choice has not seen.

    Attributes:
        gain: Rise of the log-likelihood ratio of behaving against neutral replies, nats per token.
        damage: Estimated Kullback-Leibler divergence from the unsteered model, nats per token of what that model says
            unasked.
    """

    edits: tuple[FeatureEdit, ...]
    dose: float
    gain: float
    damage: float


Proposal = tuple[tuple[FeatureEdit, ...], float]
"""Edits, and their relative dose."""


@dataclass(frozen=True)
class Attempt:
    """What is to be tried out for one specification, on which replies.

    Attributes:
        sign: -1 = away from the behaviour.
    """

    proposed: Sequence[Proposal]
    held: Stimulus
    sign: int


@dataclass(frozen=True)
class AutoSteer:
    """`_target_: mindgap.steering.autosteer.AutoSteer`.

    Attributes:
        most: Edits at most, 1 to 8.
        dose: Largest relative dose.
        damage: Largest divergence from the unsteered model on neutral replies, in nats per token.
        prompts: Contrast prompts, of which the last third only tries out strengths.
        candidates: Features that matching pursuit chooses from.
        meaning: Weight of meaning beside contrast and causal effect; 0 = none.
        positions: Which tokens are steered: `all`, or `response`.
        instruction: Asks for the behaviour while the stimulus is written.
        writer: A litellm model that writes it; None = the model itself.
        provider: How that model is reached; settings as of `backend=litellm`.
        intensity: The strength that every edit gets, sign kept; None = as chosen.
    """

    most: int = 8
    dose: float = 0.35
    damage: float = 1.0
    prompts: int = 24
    candidates: int = 100
    meaning: float = 1.0
    positions: str = "all"
    instruction: str = "You must {query}. Every sentence of your reply has to show it."
    writer: str | None = None
    provider: LiteLLMBackend = field(default_factory=LiteLLMBackend)
    intensity: float | None = None
    # A local endpoint that has features also has what else the algorithm reads; a remote one may do without.
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "features"})

    def __post_init__(self) -> None:
        where = "method.interventions"
        if not 1 <= self.most <= max(SIZES):
            raise ConfigError(f"{where}: most={self.most}, must be between 1 and {max(SIZES)}")
        if not self.dose > 0 or not self.damage > 0:
            raise ConfigError(f"{where}: dose and damage must be above 0, not {self.dose} and {self.damage}")
        if not 6 <= self.prompts <= 32:
            raise ConfigError(f"{where}: prompts={self.prompts}, must be between 6 and 32")
        if self.candidates < self.most:
            raise ConfigError(f"{where}: candidates={self.candidates}, must be at least most={self.most}")
        check_positions(self.positions)
        if "{query}" not in self.instruction:
            raise ConfigError(f"{where}: instruction must contain {{query}}")

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[FeatureEdit, ...]]:
        """The edits for each query: a remote service's own where it makes them, else those of this algorithm.

        Raises ConfigError for a query that cannot be followed.
        """
        texts = [query.text for query in queries]
        if isinstance(bench.endpoint, AutoEditing):
            chosen = [bench.endpoint.auto_edits(text) for text in texts]
        else:
            tried = zip(texts, self.trials(texts, bench), strict=True)
            chosen = [choose(trials, self.damage, text).edits for text, trials in tried]
        for text, edits in zip(texts, chosen, strict=True):
            log.info("Auto Steer, %s: %s", text, "; ".join(map(str, edits)))
        return [tuple(self._at_intensity(edit) for edit in edits) for edits in chosen]

    def steer(self, specification: str, bench: SteeringBench) -> Trial:
        """The best trial for one specification, with what speaks for each of its edits in the edit's note."""
        (trials,) = self.trials([specification], bench)
        return choose(trials, self.damage, specification)

    def trials(self, specifications: Sequence[str], bench: SteeringBench) -> list[list[Trial]]:
        """All that was tried out, for each specification."""
        wanted = [parse(specification) for specification in specifications]
        shown = stimuli(
            bench,
            [one.behaviour for one in wanted],
            prompts=self.prompts,
            instruction=self.instruction,
            writer=self.written_on(bench),
        )
        attempts = []
        for specification, one, stimulus in zip(specifications, wanted, shown, strict=True):
            seen, held = stimulus.parted(2 / 3)
            sign = 1 if one.towards else -1
            proposed = self._propose(specification, evidence(seen, bench, one.behaviour, sign), bench)
            attempts.append(Attempt(proposed, held, sign))
        return try_out(attempts, bench)

    def written_on(self, bench: SteeringBench) -> SteeringBench:
        """The bench on which behaving replies are written: the model's own, or the writer's."""
        return bench if self.writer is None else hosted_writer(bench, self.writer, self.provider)

    def _propose(self, specification: str, found: Evidence, bench: SteeringBench) -> list[Proposal]:
        ranked = self._rank(found)
        if not ranked:
            raise ConfigError(
                f"Auto Steer finds no feature for {specification!r}: none makes behaving replies likelier. "
                "Word the query differently"
            )
        norm = reference_norm(bench, bench.features.sae_layer)
        doses = [dose for dose in DOSES if dose <= self.dose] or [self.dose]
        combinations = self._combine(ranked, found, bench.features)
        return [(_at_dose(edits, dose, norm), dose) for edits in combinations for dose in doses]

    def _rank(self, found: Evidence) -> list[int]:
        """Candidates by causal effect, times contrast and meaning as far as these agree with its sign."""
        sign = np.sign(found.causal)
        contrast = 1 + np.maximum(found.contrast * sign, 0)
        meaning = (UNRELATED + np.maximum(found.meaning * sign, 0)) ** self.meaning
        score = np.abs(found.causal) * contrast * meaning
        best = np.argsort(-score, kind="stable")[: self.candidates]
        return [int(feature) for feature in best if score[feature] > 0]

    def _combine(
        self, ranked: Sequence[int], found: Evidence, features: FeatureEndpoint
    ) -> list[tuple[FeatureEdit, ...]]:
        """Nudges of 1, 2, 4 … features that together come nearest to the gradient (orthogonal matching pursuit).

        Pati et al. (1993). A feature whose share turns out to have the wrong sign, beside the others, is left out.
        """
        directions = features.directions(ranked)
        lengths = np.linalg.norm(directions, axis=1)
        units = directions / lengths[:, None]
        signs = np.sign(found.causal[ranked])
        chosen: list[int] = []
        combinations = []
        left = found.gradient
        for _ in range(min(self.most, len(ranked))):
            fit = units @ left * signs
            fit[chosen] = -np.inf
            if fit.max() <= 0:
                break
            chosen.append(int(fit.argmax()))
            shares = np.linalg.lstsq(units[chosen].T, found.gradient, rcond=None)[0]
            left = found.gradient - shares @ units[chosen]
            if len(chosen) in SIZES or len(chosen) == self.most:
                kept = [(row, share) for row, share in zip(chosen, shares, strict=True) if share * signs[row] > 0]
                combinations.append(
                    tuple(self._nudge(ranked[row], share / lengths[row], found, features) for row, share in kept)
                )
        return combinations

    def _nudge(self, feature: int, activation: float, found: Evidence, features: FeatureEndpoint) -> FeatureEdit:
        """An edit that adds `activation` to the feature; what speaks for it goes into its note."""
        note = (
            f"contrast {found.contrast[feature]:+.1f}, causal {found.causal[feature]:+.3f}, "
            f"meaning {found.meaning[feature]:+.2f}"
        )
        positions: Positions = "response" if self.positions == "response" else "all"
        edit = feature_edit(features, feature, 0.0, positions=positions, note=note)
        return replace(edit, offset=float(activation / edit.scale))

    def _at_intensity(self, edit: FeatureEdit) -> FeatureEdit:
        if self.intensity is None:
            return edit
        return replace(edit, offset=math.copysign(self.intensity, edit.offset))


def evidence(shown: Stimulus, bench: SteeringBench, behaviour: str, sign: int) -> Evidence:
    """What speaks for each feature of the bench's SAE.

    Args:
        sign: -1 where the behaviour is to be steered away from.
    """
    features = bench.features
    scale = features.scales
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = (bench.feature_means(shown.asked) - bench.feature_means(shown.neutral)) / scale
    difference = sign * np.nan_to_num(difference, posinf=0, neginf=0)
    # A thousandth of the scale at least: a feature that is active in one reply alone must not look certain.
    spread = difference.std(0, ddof=1) / np.sqrt(len(difference)) + 0.001
    layer = features.sae_layer
    gradient = bench.likelihood_gradients(shown.behaving, layer) - bench.likelihood_gradients(shown.neutral, layer)
    gradient = sign * gradient.mean(0)
    causal = _along_directions(features, gradient) * reference_norm(bench, layer)
    causal = np.where(scale > 0, causal, 0)  # a dead feature has no scale, and is never chosen
    return Evidence(difference.mean(0) / spread, causal, sign * features.relevance(behaviour), gradient)


def _along_directions(features: FeatureEndpoint, gradient: np.ndarray) -> np.ndarray:
    """How far the gradient points along each feature's unit direction: `[features]`; 0 for a direction of length 0.

    A chunk of directions at a time: all of a large SAE's would be a gigabyte.
    """
    along = np.zeros(features.features, dtype=np.float32)
    for start in range(0, features.features, DIRECTIONS_AT_ONCE):
        chunk = range(start, min(start + DIRECTIONS_AT_ONCE, features.features))
        directions = features.directions(chunk)
        lengths = np.linalg.norm(directions, axis=1)
        along[chunk.start : chunk.stop] = directions @ gradient / np.where(lengths > 0, lengths, np.inf)
    return along


def try_out(attempts: Sequence[Attempt], bench: SteeringBench) -> list[list[Trial]]:
    """Gain and damage of every proposal of every attempt, on replies that had no part in making it."""
    identity = bench.endpoint.identity
    requests = {
        (which, number, place): OptionsRequest(identity, messages, (behaving, neutral, sampled), edits)
        for which, attempt in enumerate(attempts)
        for number, (edits, _) in enumerate([((), 0.0), *attempt.proposed])
        for place, ((messages, behaving), (_, neutral), (_, sampled)) in enumerate(
            zip(attempt.held.behaving, attempt.held.neutral, attempt.held.sampled, strict=True)
        )
    }
    scores = option_scores(list(requests.values()), bench.endpoint, bench.store)
    per_token = {spot: np.array(scores[request.key].per_token()) for spot, request in requests.items()}
    tried: list[list[Trial]] = []
    for which, attempt in enumerate(attempts):
        tried.append([])
        places = range(len(attempt.held.neutral))
        for number, (edits, dose) in enumerate(attempt.proposed, start=1):
            rises = [per_token[which, number, place] - per_token[which, 0, place] for place in places]
            behaving, neutral, sampled = np.mean(rises, axis=0)
            gain = attempt.sign * (behaving - neutral)
            tried[-1].append(Trial(edits, dose, gain=float(gain), damage=float(-sampled)))
    return tried


def choose(trials: Sequence[Trial], damage: float, specification: str) -> Trial:
    """The trial with the largest gain among those with bounded damage; with the least damage if there is none."""
    bounded = [trial for trial in trials if trial.damage <= damage]
    best = max(bounded, key=lambda trial: trial.gain) if bounded else min(trials, key=lambda trial: trial.damage)
    if best.gain <= 0:
        log.warning(
            "Auto Steer found nothing that makes %r likelier on prompts it had not seen (%+.3f nats per token at best)",
            specification,
            best.gain,
        )
    return best


def _at_dose(edits: tuple[FeatureEdit, ...], dose: float, norm: float) -> tuple[FeatureEdit, ...]:
    native = relative_dose(edits, lambda layer: norm)
    assert native, "nudges of known directions have a dose"
    return tuple(edit.scaled(dose / native) for edit in edits)
