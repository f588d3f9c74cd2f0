"""Edits of features that somebody names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mindgap.backends.base import Capability, FeatureEndpoint
from mindgap.core.edits import FeatureEdit, Positions
from mindgap.core.errors import ConfigError
from mindgap.core.records import Query
from mindgap.steering.bench import SteeringBench

MODES = ("nudge", "pin", "ablate")


def feature_edit(
    features: FeatureEndpoint,
    feature: int,
    strength: float,
    *,
    mode: str = "nudge",
    positions: Positions = "all",
    note: str = "",
) -> FeatureEdit:
    """The edit of one feature, with its direction, scale and label filled in.

    Raises ValueError for a feature that the SAE does not have.

    Args:
        strength: In units of the scale.
    """
    if not 0 <= feature < features.features:
        raise ValueError(f"there is no feature {feature}: the SAE has features 0 to {features.features - 1}")
    return FeatureEdit(
        sae=features.sae_identity,
        layer=features.sae_layer,
        feature=feature,
        scale=float(features.scales[feature]),
        direction=features.directions([feature])[0],
        gain=1.0 if mode == "nudge" else 0.0,
        offset=0.0 if mode == "ablate" else strength,
        positions=positions,
        label=features.label(feature),
        note=note,
    )


@dataclass(frozen=True)
class Chosen:
    """One edit as a YAML file names it. strength: in units of the feature's scale; an ablation has none."""

    feature: int
    strength: float = 0.0
    mode: str = "nudge"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"method.interventions: mode={self.mode!r}, choose {', '.join(MODES)}")


@dataclass(frozen=True)
class Features:
    """The same named features for every query, whatever it says.

    Attributes:
        features: Which, how and how strong.
        positions: `all` or `response` (see `FeatureEdit`).
    """

    features: tuple[Chosen, ...] = ()
    positions: str = "all"
    needs: ClassVar[frozenset[Capability]] = frozenset({"generate", "features"})

    def __post_init__(self) -> None:
        if not self.features:
            raise ConfigError(
                "method.interventions: features is empty; name some, for example [{feature: 12, strength: 0.5}]. "
                "`python -m mindgap.features search TEXT` finds them"
            )
        check_positions(self.positions)

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple[FeatureEdit, ...]]:
        """The same edits for each query. Raises ConfigError for a feature that the SAE does not have."""
        positions: Positions = "response" if self.positions == "response" else "all"
        try:
            edits = tuple(
                feature_edit(bench.features, feature.feature, feature.strength, mode=feature.mode, positions=positions)
                for feature in self.features
            )
        except ValueError as error:
            raise ConfigError(f"method.interventions: {error}") from error
        return [edits] * len(queries)


def check_positions(positions: str) -> None:
    """Raises ConfigError for anything but `all` and `response`."""
    if positions not in ("all", "response"):
        raise ConfigError(f"method.interventions: positions={positions!r}, choose all or response")
