"""`samples.parquet`: a row per sample, with what is known of it and everything measured on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mindgap.core.measurement import Declaration, Value
from mindgap.core.records import Record
from mindgap.measures.base import declared, measured
from mindgap.measures.standard import STANDARD

if TYPE_CHECKING:
    import pyarrow as pa

DECLARATIONS = b"mindgap_measures"
"""Key of the file's metadata that says what was measured, as JSON; files of version 0.1 lack it."""

COLUMNS: dict[str, tuple[str, str]] = {
    "key": ("string", "content key of the sample: model, steering, prompt, decoding, seed, query, item, epoch"),
    "model": ("string", "short name of the model"),
    "method": ("string", "short name of the method"),
    "strength": ("string", "label of the strength; none where the method steers nothing"),
    "dose": ("double", "relative dose: norm of the added vector / median norm of the residual stream; dimensionless"),
    "query": ("string", "the behaviour asked for"),
    "item": ("string", "id of the item in its task"),
    "subject": ("string", "subject of the item; empty if it has none"),
    "epoch": ("int64", "0, 1, … for repeated generations of the same (query, item)"),
    "system_prompt": ("string", "system message as sent; empty if there was none"),
    "prompt": ("string", "last message as sent"),
    "response": ("string", "generated text, whole; the thought before it is a column of its own"),
    "finish_reason": ("string", "stop, length (cut off at max_tokens), thought (no reply after it), unasked or error"),
    "prompt_tokens": ("int64", "tokens read; null where the backend does not say"),
    "completion_tokens": ("int64", "tokens generated; null where the backend does not say"),
    "error": ("string", "why there is no response; null if there is one"),
    "gold": ("string", "the right option's text; null for open-ended items"),
    "answer": ("string", "the option the response settles on; null if it cannot be read"),
    "unparsed": ("string", "why the answer cannot be read; null if it can, or if there is nothing to answer"),
    "correct": ("bool", "answer is the gold option; null for open-ended items and failed generations"),
    "loglik_answer": ("string", "the option with the highest log-likelihood under the same steering"),
    "loglik_correct": ("bool", "that option is the gold one"),
    "option_logprobs": ("list<double>", "summed log-likelihood of each option or text, in nats, in the item's order"),
    "judge": ("string", "name of the judge that scored this sample"),
    "behaviour": ("double", "behaviour score, 1 to 5; null if missing"),
    "behaviour_missing": ("string", "why the behaviour score is missing"),
    "coherence": ("double", "coherence score, 1 to 5; null if missing"),
    "coherence_missing": ("string", "why the coherence score is missing"),
    "analysis": ("string", "the judge's own words or numbers"),
    "perplexity": ("double", "perplexity of the response under the unsteered model"),
    "perplexity_missing": ("string", "why there is no perplexity"),
    "edits": ("list<string>", "what was done inside the model, one entry an edit"),
    "loglik_missing": ("string", "why the options have no log-likelihoods; null if they have, or if there are none"),
    "thought": ("string", "what the model thought before it replied; null where it did not"),
    "turns": ("string", "messages between system and last message, as sent: examples and earlier turns; empty if none"),
}
"""Columns of `samples.parquet` beside the measures: type and meaning. The same for every cell, also where all null."""


OWN = frozenset({"key", "response", "thought"})
"""Columns of which no two rows are likely to have the same."""


def samples_table(records: Sequence[Record], measures: Sequence[Declaration]) -> pa.Table:
    """`records` as an Arrow table: `COLUMNS`, then each measure `x` as `x` and `x_missing`, the reason.

    Meanings are in the fields' metadata. Null in both of a measure's columns: it does not apply to the sample. NaN and
    infinities of other columns stay what they are; null there is a value that does not exist.
    """
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "list<double>": pa.list_(pa.float64()),
        "list<string>": pa.list_(pa.string()),
    }
    columns = {name: [getattr(record, name) for record in records] for name in COLUMNS}
    meanings = dict(COLUMNS)
    for measure in measures:
        if measure.name in COLUMNS:  # what the judge says is there already
            continue
        values = [record.measures.get(measure.name) for record in records]
        columns[measure.name] = [value and value.value for value in values]
        columns[f"{measure.name}_missing"] = [value and value.missing for value in values]
        meanings[measure.name] = ("double", measure.label)
        meanings[f"{measure.name}_missing"] = ("string", f"why there is no {measure.name}")
    schema = pa.schema(
        [pa.field(name, types[kind], metadata={"description": meaning}) for name, (kind, meaning) in meanings.items()],
        metadata={DECLARATIONS: json.dumps([asdict(measure) for measure in measures])},
    )
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def read_samples(table: pa.Table) -> tuple[tuple[Record, ...], tuple[Declaration, ...]]:
    """The records of a table that `samples_table` made, and what was measured on them.

    In a file of version 0.1 that is what the standard measures say of its records.
    """
    columns = [name for name in COLUMNS if name in table.column_names]  # an older file may lack a newer column
    rows = table.select(columns).to_pylist()
    saved = (table.schema.metadata or {}).get(DECLARATIONS)
    if saved is None:
        records = [_record(row, {}) for row in rows]
        return tuple(measured(records, STANDARD)), tuple(declared(measure) for measure in STANDARD)
    measures = tuple(declaration_of(node) for node in json.loads(saved))
    values = {measure.name: _values(table, measure.name) for measure in measures}
    return tuple(
        _record(row, {name: value for name, column in values.items() if (value := column[number]) is not None})
        for number, row in enumerate(rows)
    ), measures


def _record(row: Mapping[str, Any], measures: Mapping[str, Value]) -> Record:
    facts = {name: value if name in OWN else shared(value) for name, value in row.items()}
    return Record(**facts, measures=measures)


def shared(value: Any) -> Any:
    """A value of which many rows have the same, once for all of them: a sweep may have millions of rows."""
    if isinstance(value, list):
        return tuple(map(shared, value))
    return sys.intern(value) if isinstance(value, str) else value


def declaration_of(node: Mapping[str, Any]) -> Declaration:
    low, high = node["range"]
    return Declaration(**{**node, "range": (low, high)})


def _values(table: pa.Table, name: str) -> list[Value | None]:
    """A measure's value for every row, None where it does not apply."""
    numbers, reasons = (table.column(column).to_pylist() for column in (name, f"{name}_missing"))
    made = {pair: Value(*pair) for pair in set(zip(numbers, reasons, strict=True)) if pair != (None, None)}
    return [made.get(pair) for pair in zip(numbers, reasons, strict=True)]
