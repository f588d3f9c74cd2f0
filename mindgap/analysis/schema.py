"""`comparison.json`: the numbers of a comparison for other programs. docs/comparison-json.md describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mindgap.analysis.comparison import (
    ALPHA,
    BROKEN,
    MARGIN,
    CellComparison,
    GroupComparison,
    JudgesCompared,
    JudgeView,
    Tested,
    primary_of,
)
from mindgap.analysis.headline import headline
from mindgap.core.estimate import Estimate, finite
from mindgap.results.sweep import Sweep
from mindgap.stats.account import AccuracyAccount, Interaction
from mindgap.stats.agreement import Agreement
from mindgap.stats.dose import DoseResponse

VERSION = 1
"""Raised when a field changes its meaning or goes away; new fields do not raise it."""


def comparison_json(sweep: Sweep, comparisons: Sequence[GroupComparison]) -> str:
    """The document as text: no NaN, no infinity, the same for the same samples."""
    document = {
        "version": VERSION,
        "sweep": sweep.name,
        "unfinished": list(sweep.unfinished),
        "groups": [_group(group) for group in comparisons],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _group(group: GroupComparison) -> dict[str, Any]:
    return {
        "title": group.group.title,
        "headline": headline(group),
        "judge": group.group.judge,
        "reference": group.reference.cell.name,
        "settings": {
            "alpha": ALPHA,
            "margin": MARGIN,
            "broken": BROKEN,
            "primary": [measure.name for measure in primary_of(group.measures)],
        },
        "measures": [asdict(measure) for measure in group.measures],
        "cells": [_cell(one) for one in group.cells],
        "best": _best(group),
        "cross_fit": _cross_fit(group),
        "dose_responses": [_dose_response(label, found) for label, found in group.dose_responses],
        "interactions": [_interaction(one, found) for one, found in group.interactions],
        "not_computed": list(group.notes),
        "judges": group.judges and _judges(group.judges),
    }


def _cell(one: CellComparison) -> dict[str, Any]:
    cell = one.cell
    return {
        "cell": cell.name,
        "name": one.name,
        "model": cell.model,
        "method": cell.method,
        "strength": cell.strength,
        "dose": finite(cell.dose),
        "status": cell.status,
        "reason": cell.reason,
        "judge_usd": finite(cell.judge_usd),
        "counts": dict(cell.counts),
        "metrics": {name: estimate(found) for name, found in cell.metrics.items()},
        "harmonic": one.harmonic and estimate(one.harmonic),
        "front": one.front and {"on_front": one.front.on_front, "probability": finite(one.front.probability)},
        "differences": {name: _difference(tested) for name, tested in one.differences.items()},
        "account": one.account and _account(one.account),
        "non_inferior": one.non_inferior
        and {
            "margin": one.non_inferior.margin,
            "p": finite(one.non_inferior.p),
            "verdict": one.non_inferior.verdict,
        },
        "detectable": {name: finite(found.difference) for name, found in one.detectable.items()},
    }


def _difference(tested: Tested) -> dict[str, Any]:
    found = tested.difference
    return {
        **estimate(found.estimate),
        "cell_mean": finite(found.cell_mean),
        "reference_mean": finite(found.reference_mean),
        "unpaired": found.unpaired,
        "lowest": finite(found.lowest),
        "highest": finite(found.highest),
        "effect": finite(found.effect),
        "p": finite(found.p),
        "p_holm": finite(tested.p_holm),
        "p_bh": finite(tested.p_bh),
        "test": found.test,
        "clear": tested.clear,
    }


def _account(found: AccuracyAccount) -> dict[str, Any]:
    parts = ("total", "format", "wrong", "knowledge", "expression", "loglik")
    return {part: _maybe(getattr(found, part)) for part in parts}


def _best(group: GroupComparison) -> dict[str, Any] | None:
    found = group.best
    if found is None:
        return None
    chances = {cell.method: finite(chance) for cell, chance in found.chances.items()}
    return {"cell": found.cell.method, "behaviour": estimate(found.value), "chances": chances}


def _cross_fit(group: GroupComparison) -> dict[str, Any] | None:
    found = group.cross_fit
    if found is None:
        return None
    return {
        "split": found.split,
        "values": {name: estimate(one) for name, one in found.values.items()},
        "changes": {name: estimate(one) for name, one in found.changes.items()},
        "optimism": finite(found.optimism),
        "chances": {cell.method: finite(chance) for cell, chance in found.chances.items()},
    }


def _dose_response(label: str, found: DoseResponse) -> dict[str, Any]:
    return {
        "label": label,
        "metric": found.metric,
        "cells": [cell.method for cell in found.cells],
        "doses": [finite(dose) for dose in found.doses],
        "means": [estimate(mean) for mean in found.means],
        "slope": estimate(found.slope),
        "breaks": estimate(found.breaks),
        "unbroken": finite(found.unbroken),
    }


def _interaction(one: CellComparison, found: Interaction) -> dict[str, Any]:
    parts = ("estimate", "together", "first", "second")
    return {
        "cell": one.cell.name,
        "metric": found.metric,
        **{part: estimate(getattr(found, part)) for part in parts},
        "p": finite(found.p),
        "test": found.test,
    }


def _judges(found: JudgesCompared) -> dict[str, Any]:
    return {
        "own": found.own,
        "views": [_view(view) for view in found.views],
        "alpha": {metric: estimate(one) for metric, one in found.alpha.items()},
        "reversals": [
            {
                "metric": one.metric,
                "cells": [one.cell, one.other_cell],
                "judges": [one.judge, one.other],
                "differences": [estimate(one.difference), estimate(one.other_difference)],
            }
            for one in found.reversals
        ],
    }


def _view(view: JudgeView) -> dict[str, Any]:
    return {
        "judge": view.judge,
        "scored": view.scored,
        "of": view.of,
        "headline": view.headline,
        "means": {cell: {metric: estimate(one) for metric, one in means.items()} for cell, means in view.means.items()},
        "orders": {
            metric: {"kendall": finite(one.kendall), "spearman": finite(one.spearman), "cells": one.cells}
            for metric, one in view.orders.items()
        },
        "agreement": {metric: _agreement(one) for metric, one in view.agreement.items()},
        "by_query": {
            metric: {query: _agreement(one) for query, one in found.items()} for metric, found in view.by_query.items()
        },
    }


def _agreement(found: Agreement) -> dict[str, Any]:
    return {name: estimate(getattr(found, name)) for name in ("spearman", "kappa", "alpha", "alpha_ordinal")}


def _maybe(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else estimate(found)


def estimate(found: Estimate) -> dict[str, Any]:
    """An estimate's fields."""
    return {
        "value": finite(found.value),
        "low": finite(found.low),
        "high": finite(found.high),
        "n": int(found.n),
        "missing": int(found.missing),
        "note": found.note,
    }
