"""A cell without secrets: its configuration, and whatever programs said when they failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
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
    clean = cache(mask_text)  # most reasons are those of many samples
    return replace(
        result,
        config=mask_secrets(result.config),
        reason=None if result.reason is None else clean(result.reason),
        source=None if result.source is None else clean(result.source),
        metrics={name: replace(estimate, note=clean(estimate.note)) for name, estimate in result.metrics.items()},
        records=tuple(_clean_record(record, clean) for record in result.records),
    )


def _clean_record(record: Record, clean: Callable[[str], str]) -> Record:
    reasons = {name: text for name in REASONS if (text := getattr(record, name)) is not None}
    cleaned: dict[str, Any] = {name: clean(text) for name, text in reasons.items()}
    measures = {
        name: value if value.missing is None else Value(None, clean(value.missing))
        for name, value in record.measures.items()
    }
    if cleaned == reasons and measures == record.measures:  # as of nearly all
        return record
    return replace(record, **cleaned, measures=measures)
