"""`comparison.json`: the numbers of a comparison for other programs. docs/comparison-json.md describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mindgap.report.comparison import CellComparison, GroupComparison, Tested
from mindgap.report.data import Sweep
from mindgap.report.headline import headline
from mindgap.stats.estimate import Estimate
from mindgap.tracking.files import finite

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
        "cells": [_cell(one) for one in group.cells],
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
        "counts": dict(cell.counts),
        "metrics": {name: estimate(found) for name, found in cell.metrics.items()},
        "differences": {name: _difference(tested) for name, tested in one.differences.items()},
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


def estimate(found: Estimate | None) -> dict[str, Any] | None:
    """An estimate's fields, or None where there is no estimate."""
    if found is None:
        return None
    return {
        "value": finite(found.value),
        "low": finite(found.low),
        "high": finite(found.high),
        "n": int(found.n),
        "missing": int(found.missing),
        "note": found.note,
    }
