"""Auto Steer: from the words of a query to edits of a few SAE features.

The hosted service that did this is gone and its algorithm was never published; this is our own. For each query:

1. The model writes *passages* that show the behaviour (`passages`).
2. What is *specific* to them is a direction: what they have and the passages of fifty other behaviours have not
   (`specific`).
3. A few features whose decoder directions together come nearest to it are chosen by matching pursuit; a feature whose
   label means what the query says counts for more.
4. The *strength* is the largest that keeps within a limit on damage to text that has nothing to do with the query
   (`damage`).

A query that says nothing the model knows is declined, with the reason. Queries, items and judge of the experiment play
no part in any of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from mindgap.backends.base import AutoEditing, Capability, FeatureEndpoint
from mindgap.backends.litellm import LiteLLMBackend
from mindgap.core.edits import Declined, FeatureEdit, Positions
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.sae.form import asks_for_form, is_form
from mindgap.steering.bench import SteeringBench
from mindgap.steering.damage import Dosed, dosed
from mindgap.steering.features import check_positions, feature_edit
from mindgap.steering.passages import hosted_writer
from mindgap.steering.specific import Specific
from mindgap.steering.specification import parse
from mindgap.steering.wanted import directions

log = logging.getLogger(__name__)

DIRECTIONS_AT_ONCE = 4096
MOST = 16
"""Most edits that may be asked for."""
CANDIDATES = 200
"""Features that matching pursuit chooses from."""
UNRELATED = 0.1
"""What a label that has nothing to do with the query counts, where one that says the same counts 1 more."""


@dataclass(frozen=True)
class Choice:
    """What Auto Steer makes of one specification.

    Attributes:
        edits: With what speaks for each in its note.
        agreement: How surely the behaviour's direction is known (see `Specific`).
        explained: Cosine between what the edits add and that direction.
        tried: Strengths that were tried out; the last was taken.
    """

    edits: tuple[FeatureEdit, ...]
    agreement: float
    explained: float
    tried: tuple[Dosed, ...]


@dataclass(frozen=True)
class AutoSteer:
    """`_target_: mindgap.steering.autosteer.AutoSteer`.

    Attributes:
        most: Edits at most.
        damage: Divergence from the unsteered model on unrelated text up to which it is steered, in nats per token.
        dose: Largest relative dose.
        passages: That the model writes for each query.
        meaning: How much the nearness of a feature's label to the query counts in choosing it; 0 = not.
        positions: Which tokens are steered: `all`, or `response`.
        writer: A litellm model that writes the passages; None = the model itself.
        provider: How that model is reached; settings as of `backend=litellm`.
        intensity: The strength that every edit gets, sign kept; None = as chosen.
    """

    most: int = 8
    damage: float = 1.0
    dose: float = 1.0
    passages: int = 12
    meaning: float = 1.0
    positions: str = "all"
    writer: str | None = None
    provider: LiteLLMBackend = field(default_factory=LiteLLMBackend)
    intensity: float | None = None
    # A local endpoint that has features also has what else the algorithm reads; a remote one may do without.
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "features"})

    def __post_init__(self) -> None:
        where = "method.interventions"
        if not 1 <= self.most <= MOST:
            raise ConfigError(f"{where}: most={self.most}, must be between 1 and {MOST}")
        if not self.dose > 0 or not self.damage > 0:
            raise ConfigError(f"{where}: dose and damage must be above 0, not {self.dose} and {self.damage}")
        if not 2 <= self.passages <= 100:
            raise ConfigError(f"{where}: passages={self.passages}, must be between 2 and 100")
        if self.meaning < 0:
            raise ConfigError(f"{where}: meaning={self.meaning}, must be 0 or more")
        check_positions(self.positions)

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[FeatureEdit, ...] | Declined]:
        """The edits for each query: a remote service's own where it makes them, else those of this algorithm."""
        texts = [query.text for query in queries]
        if isinstance(bench.endpoint, AutoEditing):
            chosen: list[tuple[FeatureEdit, ...] | Declined] = [bench.endpoint.auto_edits(text) for text in texts]
        else:
            choices = self.choices(texts, bench)
            chosen = [choice if isinstance(choice, Declined) else choice.edits for choice in choices]
        made: list[tuple[FeatureEdit, ...] | Declined] = []
        for text, edits in zip(texts, chosen, strict=True):
            if isinstance(edits, Declined):
                log.warning("Auto Steer declines %r: %s", text, edits.reason)
                made.append(edits)
            else:
                log.info("Auto Steer, %s: %s", text, "; ".join(map(str, edits)))
                made.append(tuple(self._at_intensity(edit) for edit in edits))
        return made

    def choices(self, specifications: Sequence[str], bench: SteeringBench) -> list[Choice | Declined]:
        """What is made of each specification, or why nothing is."""
        layer = bench.features.sae_layer
        wanted = directions(specifications, self.passages, layer, bench, self.written_on(bench))
        chosen: list[Choice | Declined] = []
        for text, known in zip(specifications, wanted, strict=True):
            chosen.append(known if isinstance(known, Declined) else self._choose(text, known, bench))
        return self._dosed(chosen, bench)

    def written_on(self, bench: SteeringBench) -> SteeringBench:
        """The bench on which passages are written: the model's own, or the writer's."""
        return bench if self.writer is None else hosted_writer(bench, self.writer, self.provider)

    def _choose(self, specification: str, known: Specific, bench: SteeringBench) -> Choice | Declined:
        """A few features that together come nearest to the direction (orthogonal matching pursuit, Pati et al. 1993).

        A feature whose share turns out to have the wrong sign, beside the others, is left out.
        """
        features = bench.features
        along = along_directions(features, known.direction)
        parts = parse(specification)
        meaning = np.sum([(1 if p.towards else -1) * features.relevance(p.behaviour) for p in parts], axis=0)
        signed = np.sign(along) * meaning
        score = np.abs(along) * (UNRELATED + np.maximum(signed, 0)) ** self.meaning
        score[~may_be_chosen(features, specification)] = 0
        ranked = [int(feature) for feature in np.argsort(-score, kind="stable")[:CANDIDATES] if score[feature] > 0]
        if not ranked:
            return Declined(
                f"no feature of the SAE points where {specification!r} is shown. Word the query differently"
            )
        directions = features.directions(ranked)
        lengths = np.linalg.norm(directions, axis=1)
        units = directions / lengths[:, None]
        weights = (score / np.maximum(np.abs(along), 1e-12))[ranked]
        chosen: list[int] = []
        shares = np.zeros(0)
        left = known.direction
        for _ in range(min(self.most, len(ranked))):
            fit = np.abs(units @ left) * weights
            fit[chosen] = -np.inf
            chosen.append(int(fit.argmax()))
            shares = np.linalg.lstsq(units[chosen].T, known.direction, rcond=None)[0]
            left = known.direction - shares @ units[chosen]
        kept = [(row, share) for row, share in zip(chosen, shares, strict=True) if share * along[ranked[row]] > 0]
        added = np.sum([share * units[row] for row, share in kept], axis=0)
        edits = []
        for row, share in kept:
            feature = ranked[row]
            note = f"along the behaviour's direction {along[feature]:+.2f}, meaning {meaning[feature]:+.2f}"
            positions: Positions = "response" if self.positions == "response" else "all"
            edit = feature_edit(features, feature, 0.0, positions=positions, note=note)
            edits.append(replace(edit, offset=float(share / lengths[row] / edit.scale)))
        explained = float(added @ known.direction / np.linalg.norm(added))
        return Choice(tuple(edits), known.agreement, explained, ())

    def _dosed(self, chosen: Sequence[Choice | Declined], bench: SteeringBench) -> list[Choice | Declined]:
        """The choices at the strength that the limit on damage allows."""
        proposed = [choice if isinstance(choice, Declined) else choice.edits for choice in chosen]
        strong: list[Choice | Declined] = []
        for choice, tried in zip(chosen, dosed(proposed, self.damage, bench, self.dose), strict=True):
            if isinstance(choice, Declined) or isinstance(tried, Declined):
                strong.append(choice)
            else:
                edits = tuple(edit for edit in tried[-1].edits if isinstance(edit, FeatureEdit))
                strong.append(replace(choice, edits=edits, tried=tuple(tried)))
        return strong

    def _at_intensity(self, edit: FeatureEdit) -> FeatureEdit:
        if self.intensity is None:
            return edit
        return replace(edit, offset=math.copysign(self.intensity, edit.offset))


def along_directions(features: FeatureEndpoint, direction: np.ndarray) -> np.ndarray:
    """How far a direction points along each feature's unit direction: `[features]`; 0 for one of length 0.

    A chunk of directions at a time: all of a large SAE's would be a gigabyte.
    """
    along = np.zeros(features.features, dtype=np.float32)
    for start in range(0, features.features, DIRECTIONS_AT_ONCE):
        chunk = range(start, min(start + DIRECTIONS_AT_ONCE, features.features))
        decoder = features.directions(chunk)
        lengths = np.linalg.norm(decoder, axis=1)
        along[chunk.start : chunk.stop] = decoder @ direction / np.where(lengths > 0, lengths, np.inf)
    return along


def may_be_chosen(features: FeatureEndpoint, behaviour: str) -> np.ndarray:
    """Which features may be steered: bool `[features]`. No dead ones; ones of mere form only where it is asked for."""
    allowed: np.ndarray = features.scales > 0
    if asks_for_form(behaviour):
        return allowed
    return allowed & np.array([not is_form(features.label(feature)) for feature in range(features.features)])
