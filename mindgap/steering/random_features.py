"""Random features: the null control of every method that steers by features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from mindgap.backends.base import Capability
from mindgap.core.edits import Declined, FeatureEdit
from mindgap.core.keys import content_key
from mindgap.core.records import Query
from mindgap.steering.autosteer import AutoSteer
from mindgap.steering.bench import SteeringBench
from mindgap.steering.features import feature_edit
from mindgap.steering.strength import relative_dose


@dataclass(frozen=True)
class RandomFeatures:
    """For each query as many random live features as Auto Steer chooses, together at the same dose, signs kept.

    What this does to a response is what steering by features does whatever the features mean.

    Attributes:
        like: The Auto Steer whose edits are matched.
    """

    like: AutoSteer = field(default_factory=AutoSteer)
    needs: ClassVar[frozenset[Capability]] = AutoSteer.needs

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[FeatureEdit, ...] | Declined]:
        """One set of edits a query, fixed by the seed and the query's text; declined where Auto Steer declines."""
        return [
            edits if isinstance(edits, Declined) else self._match(query, edits, bench)
            for query, edits in zip(queries, self.like.edits(queries, bench), strict=True)
        ]

    def _match(self, query: Query, matched: Sequence[FeatureEdit], bench: SteeringBench) -> tuple[FeatureEdit, ...]:
        features = bench.features
        digest = content_key("random features", seed=bench.seed, query=query.text, sae=features.sae_identity)
        live = np.flatnonzero(features.scales > 0)
        live = np.setdiff1d(live, [edit.feature for edit in matched])
        drawn = np.random.default_rng(int(digest, 16) % 2**64).choice(live, len(matched), replace=False)
        edits = [
            replace(feature_edit(features, int(feature), edit.offset, positions=edit.positions), note="random")
            for feature, edit in zip(drawn, matched, strict=True)
        ]
        wanted, have = (relative_dose(some, lambda layer: 1.0) for some in (matched, edits))
        if not wanted or not have:  # directions that a remote backend keeps to itself: the same strengths then
            return tuple(edits)
        return tuple(edit.scaled(wanted / have) for edit in edits)
