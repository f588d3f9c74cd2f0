"""Lays a sweep's comparison out as `comparison.json`, for other programs. docs/comparison-json.md describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mindgap.analysis.answer import question_in_words
from mindgap.analysis.comparison import (
    ALPHA,
    BROKEN,
    CellComparison,
    GroupComparison,
    JudgesCompared,
    JudgeView,
    Pair,
    Reversal,
    Tested,
    primary_of,
)
from mindgap.analysis.headline import headline
from mindgap.core.estimate import Estimate, finite
from mindgap.results.sweep import SweepResults
from mindgap.stats.account import AccuracyAccount, Interaction
from mindgap.stats.agreement import Agreement
from mindgap.stats.dose import DoseResponse
from mindgap.stats.selection import CrossFit
from mindgap.stats.tradeoff import Best

VERSION = 1
"""Raised when a field changes its meaning or goes away; new fields do not raise it."""


def comparison_json(sweep: SweepResults, comparisons: Sequence[GroupComparison]) -> str:
    """The document as text: no NaN, no infinity, the same for the same samples."""
    document = {
        "version": VERSION,
        "sweep": sweep.name,
        "unfinished": list(sweep.unfinished),
        "groups": [group_fields(group) for group in comparisons],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def group_fields(group: GroupComparison) -> dict[str, Any]:
    """The entry of a group."""
    return {
        "title": group.group.title,
        "headline": headline(group),
        "judge": group.group.judge,
        "reference": group.reference.cell.name,
        "design": group.group.design,
        "settings": {
            "alpha": ALPHA,
            "margin": group.question.margin,
            "broken": BROKEN,
            "primary": [measure.name for measure in primary_of(group.measures)],
        },
        "measures": [asdict(measure) for measure in group.measures],
        "cells": [_cell(comparison) for comparison in group.cells],
        "question": {**asdict(group.question), "metric": group.paying and group.paying.name},
        "asked": question_in_words(group),
        "best": group.best and _best(group.best),
        "direct": group.direct and _pair(group.direct),
        "pairs": [_pair(pair) for pair in group.pairs],
        "unsettled": [asdict(one) for one in group.unsettled],
        "cross_fit": group.cross_fit and _cross_fit(group.cross_fit),
        "dose_responses": [_dose_response(label, response) for label, response in group.dose_responses],
        "interactions": [_interaction(comparison, interaction) for comparison, interaction in group.interactions],
        "not_computed": list(group.notes),
        "judges": group.judges and _judges(group.judges),
    }


def estimate_fields(estimate: Estimate) -> dict[str, Any]:
    """The entry of an estimate."""
    return {
        "value": finite(estimate.value),
        "low": finite(estimate.low),
        "high": finite(estimate.high),
        "n": int(estimate.n),
        "missing": int(estimate.missing),
        "note": estimate.note,
    }


def _cell(comparison: CellComparison) -> dict[str, Any]:
    cell, front, non_inferior = comparison.cell, comparison.front, comparison.non_inferior
    return {
        "cell": cell.name,
        "name": comparison.name,
        "runs": [run.name for run in cell.runs],
        "model": cell.model,
        "method": cell.method,
        "strength": cell.strength,
        "dose": finite(cell.dose),
        "status": cell.status,
        "reason": cell.reason,
        "judge_usd": finite(cell.judge_usd),
        "counts": dict(cell.counts),
        "metrics": {name: estimate_fields(estimate) for name, estimate in cell.metrics.items()},
        "harmonic": comparison.harmonic and estimate_fields(comparison.harmonic),
        "front": front and {"on_front": front.on_front, "probability": finite(front.probability)},
        "differences": {name: _difference(tested) for name, tested in comparison.differences.items()},
        "account": comparison.account and _account(comparison.account),
        "non_inferior": non_inferior
        and {
            "metric": non_inferior.metric,
            "margin": non_inferior.margin,
            "p": finite(non_inferior.p),
            "verdict": non_inferior.verdict,
        },
        "keeps": finite(comparison.keeps),
        "price": asdict(comparison.price),
        "detectable": {
            name: smallest.difference and finite(smallest.difference)
            for name, smallest in comparison.detectable.items()
        },
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "cell": pair.cell.cell.name,
        "other": pair.other.cell.name,
        "differences": {name: _difference(tested) for name, tested in pair.differences.items()},
    }


def _difference(tested: Tested) -> dict[str, Any]:
    difference = tested.difference
    return {
        **estimate_fields(difference.estimate),
        "cell_mean": finite(difference.cell_mean),
        "reference_mean": finite(difference.reference_mean),
        "unpaired": difference.unpaired,
        "lowest": finite(difference.lowest),
        "highest": finite(difference.highest),
        "effect": finite(difference.effect),
        "p": finite(difference.p),
        "p_holm": finite(tested.p_holm),
        "p_bh": finite(tested.p_bh),
        "test": difference.test,
        "clear": tested.clear,
    }


def _account(account: AccuracyAccount) -> dict[str, Any]:
    parts = {
        "total": account.total,
        "format": account.format,
        "wrong": account.wrong,
        "knowledge": account.knowledge,
        "expression": account.expression,
        "loglik": account.loglik,
    }
    return {name: part and estimate_fields(part) for name, part in parts.items()}


def _best(best: Best) -> dict[str, Any]:
    chances = {cell.method: finite(chance) for cell, chance in best.chances.items()}
    return {
        "cell": best.cell.method,
        "behaviour": estimate_fields(best.value),
        "chances": chances,
        "keeps": finite(best.keeps),
        "confidence": best.rule.confidence,
    }


def _cross_fit(cross_fit: CrossFit) -> dict[str, Any]:
    return {
        "split": cross_fit.split,
        "values": {name: estimate_fields(value) for name, value in cross_fit.values.items()},
        "changes": {name: estimate_fields(change) for name, change in cross_fit.changes.items()},
        "optimism": finite(cross_fit.optimism),
        "chances": {cell.method: finite(chance) for cell, chance in cross_fit.chances.items()},
    }


def _dose_response(label: str, response: DoseResponse) -> dict[str, Any]:
    return {
        "label": label,
        "metric": response.metric,
        "cells": [cell.method for cell in response.cells],
        "doses": [finite(dose) for dose in response.doses],
        "means": [estimate_fields(mean) for mean in response.means],
        "slope": estimate_fields(response.slope),
        "breaks": estimate_fields(response.breaks),
        "unbroken": finite(response.unbroken),
    }


def _interaction(comparison: CellComparison, interaction: Interaction) -> dict[str, Any]:
    return {
        "cell": comparison.cell.name,
        "metric": interaction.metric,
        "estimate": estimate_fields(interaction.estimate),
        "together": estimate_fields(interaction.together),
        "first": estimate_fields(interaction.first),
        "second": estimate_fields(interaction.second),
        "p": finite(interaction.p),
        "test": interaction.test,
    }


def _judges(judges: JudgesCompared) -> dict[str, Any]:
    return {
        "own": judges.own,
        "views": [_view(view) for view in judges.views],
        "alpha": {metric: estimate_fields(alpha) for metric, alpha in judges.alpha.items()},
        "reversals": [_reversal(reversal) for reversal in judges.reversals],
    }


def _reversal(reversal: Reversal) -> dict[str, Any]:
    return {
        "metric": reversal.metric,
        "cells": [reversal.cell, reversal.other_cell],
        "judges": [reversal.judge, reversal.other],
        "differences": [estimate_fields(reversal.difference), estimate_fields(reversal.other_difference)],
    }


def _view(view: JudgeView) -> dict[str, Any]:
    return {
        "judge": view.judge,
        "scored": view.scored,
        "of": view.of,
        "headline": view.headline,
        "means": {
            cell: {metric: estimate_fields(mean) for metric, mean in means.items()}
            for cell, means in view.means.items()
        },
        "orders": {
            metric: {"kendall": finite(order.kendall), "spearman": finite(order.spearman), "cells": order.cells}
            for metric, order in view.orders.items()
        },
        "agreement": {metric: _agreement(agreement) for metric, agreement in view.agreement.items()},
        "by_query": {
            metric: {query: _agreement(agreement) for query, agreement in agreements.items()}
            for metric, agreements in view.by_query.items()
        },
    }


def _agreement(agreement: Agreement) -> dict[str, Any]:
    return {
        "spearman": estimate_fields(agreement.spearman),
        "kappa": estimate_fields(agreement.kappa),
        "alpha": estimate_fields(agreement.alpha),
        "alpha_ordinal": estimate_fields(agreement.alpha_ordinal),
    }
