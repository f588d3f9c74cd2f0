"""Lays a sweep's anchored estimates out as `anchored.json`, for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mindgap.analysis.people import AnchoredEstimate, AnchoredGroup, RaterAgreement
from mindgap.core.estimate import finite
from mindgap.results.rating_plan import RatingPlan


def anchored_json(plan: RatingPlan, groups: Sequence[AnchoredGroup]) -> str:
    """The draw, agreement, and every estimate, as text; null = there is none, and its note says why."""
    document = {
        "draw": {
            "seed": plan.seed,
            "overlap": plan.overlap,
            "places": plan.population,
            "drawn": len(plan.drawn),
            "probability": plan.probability,
        },
        "groups": [
            {
                "title": group.group.title,
                "reference": group.group.name(group.group.reference),
                "judges": list(group.judges),
                "ratings": dict(group.ratings),
                "agreement": [_agreement(agreement) for agreement in group.agreements],
                "means": [_estimate(mean) for mean in group.means],
                "differences": [_estimate(difference) for difference in group.differences],
            }
            for group in groups
        ],
    }
    return json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False)


def _agreement(agreement: RaterAgreement) -> dict[str, Any]:
    return {
        "one": agreement.first,
        "other": agreement.second,
        "metric": agreement.metric,
        "agreement": asdict(agreement.agreement),
    }


def _estimate(estimate: AnchoredEstimate) -> dict[str, Any]:
    return {
        "cell": estimate.cell,
        "metric": estimate.metric,
        "judge": estimate.judge,
        "told": asdict(estimate.estimates),
    }


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_finite(value) for value in node]
    return finite(node) if isinstance(node, float) else node
