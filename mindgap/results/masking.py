"""A cell without secrets: its configuration, and whatever programs said when they failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mindgap.core.measurement import Value
from mindgap.core.records import Record
from mindgap.core.secrets import mask_secrets, mask_text
from mindgap.results.cell import CellResult

REASONS = ("error", "unparsed", "behaviour_missing", "coherence_missing", "perplexity_missing", "loglik_missing")
"""Fields of a record that hold what programs said."""


def without_secrets(result: CellResult) -> CellResult:
    """`result` with its configuration masked, and reasons, errors, notes.

    Prompts, responses and scores are the data, and stay as they are.
    """
    return replace(
        result,
        config=mask_secrets(result.config),
        reason=None if result.reason is None else mask_text(result.reason),
        source=None if result.source is None else mask_text(result.source),
        metrics={name: replace(estimate, note=mask_text(estimate.note)) for name, estimate in result.metrics.items()},
        records=tuple(_clean_record(record) for record in result.records),
    )


def _clean_record(record: Record) -> Record:
    reasons = {name: text for name in REASONS if (text := getattr(record, name)) is not None}
    cleaned: dict[str, Any] = {name: mask_text(text) for name, text in reasons.items()}
    measures = {name: _clean_value(value) for name, value in record.measures.items()}
    return replace(record, **cleaned, measures=measures)


def _clean_value(value: Value) -> Value:
    return value if value.missing is None else Value(None, mask_text(value.missing))
