"""The files of a cell and of a sweep: the record of truth.

Every file is written beside its place and renamed into it, so a reader never sees half of one, and a killed run
leaves the old file or the new one. `metrics.json` goes first when a cell is written anew and comes last: a folder
that has it is complete and of one piece.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.core.estimate import Estimate, finite
from mindgap.core.records import Record
from mindgap.results.cell import CellResult
from mindgap.results.masking import without_secrets
from mindgap.storage.atomic import replacing

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES = "samples.parquet"
METRICS = "metrics.json"
CONFIG = "config.yaml"
SUMMARY = "summary.csv"

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
    "response": ("string", "generated text, whole"),
    "finish_reason": ("string", "stop, length (cut off at max_tokens) or error"),
    "prompt_tokens": ("int64", "tokens read; null where the backend does not say"),
    "completion_tokens": ("int64", "tokens generated; null where the backend does not say"),
    "error": ("string", "why there is no response; null if there is one"),
    "gold": ("string", "the right option's text; null for open-ended items"),
    "answer": ("string", "the option the response settles on; null if it cannot be read"),
    "unparsed": ("string", "why the answer cannot be read; null if it can, or if there is nothing to answer"),
    "correct": ("bool", "answer is the gold option; null for open-ended items and failed generations"),
    "loglik_answer": ("string", "the option with the highest log-likelihood under the same steering"),
    "loglik_correct": ("bool", "that option is the gold one"),
    "option_logprobs": ("list<double>", "summed log-likelihood of each option, in nats, in the item's order"),
    "judge": ("string", "name of the judge that scored this sample"),
    "behaviour": ("double", "behaviour score, 1 to 5; null if missing"),
    "behaviour_missing": ("string", "why the behaviour score is missing"),
    "coherence": ("double", "coherence score, 1 to 5; null if missing"),
    "coherence_missing": ("string", "why the coherence score is missing"),
    "analysis": ("string", "the judge's own words or numbers"),
    "repetition": ("double", "share of repeated n-grams in the response, 0 to 1"),
    "distinct_2": ("double", "distinct bigrams / bigrams of the response, 0 to 1"),
    "words": ("int64", "words in the response"),
    "perplexity": ("double", "perplexity of the response under the unsteered model"),
    "perplexity_missing": ("string", "why there is no perplexity"),
    "edits": ("list<string>", "what was done inside the model, one entry an edit"),
}
"""Columns of `samples.parquet`: type and meaning. The same for every cell, also where a column is all null."""

IDENTITY = ("name", "sweep", "model", "method", "label", "strength", "dose", "judge", "status", "reason", "seconds")
"""What `metrics.json` and `summary.csv` say of a cell beside its metrics and counts."""

OPTIONAL = ("judge_usd", "source")
"""Further such fields, which files of earlier versions lack."""


def write_cell(result: CellResult) -> None:
    """Write `samples.parquet`, `config.yaml` and `metrics.json` to the cell's folder, secrets masked.

    Raises OSError where the folder cannot be written.
    """
    import pyarrow.parquet as pq
    import yaml

    result = without_secrets(result)
    result.folder.mkdir(parents=True, exist_ok=True)
    (result.folder / METRICS).unlink(missing_ok=True)
    with replacing(result.folder / SAMPLES) as path:
        pq.write_table(samples_table(result.records), path, compression="zstd")
    with replacing(result.folder / CONFIG) as path:
        path.write_text(yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    with replacing(result.folder / METRICS) as path:
        path.write_text(json.dumps(_metrics(result), indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_cell(folder: Path) -> CellResult:
    """The cell that was written to `folder`. Raises FileNotFoundError if it is not complete."""
    import pyarrow.parquet as pq
    import yaml

    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    table = pq.read_table(folder / SAMPLES, columns=list(COLUMNS))
    return CellResult(
        **{name: metrics[name] for name in IDENTITY},
        **{name: metrics.get(name) for name in OPTIONAL},
        folder=folder,
        config=yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")),
        metrics={name: Estimate(**estimate) for name, estimate in metrics["metrics"].items()},
        counts=metrics["counts"],
        records=tuple(_record(row) for row in table.to_pylist()),
    )


def write_summary(folder: Path, results: Sequence[CellResult]) -> None:
    """Write `summary.csv` to a sweep's folder: one row a cell, in the order given; an empty field is a missing value.

    A metric `x` has the columns `x`, `x_low`, `x_high` (95 % interval), `x_n` and `x_missing`; a count has `count_x`.
    """
    rows = [_summary_row(without_secrets(result)) for result in results]
    columns = list(dict.fromkeys([*IDENTITY, *OPTIONAL, *(name for row in rows for name in row)]))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / SUMMARY) as path, path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def samples_table(records: Sequence[Record]) -> pa.Table:
    """`records` as an Arrow table with the types of `COLUMNS`, whose meanings are in the fields' metadata.

    NaN and infinities stay what they are; null is a value that does not exist.
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
    schema = pa.schema(
        [pa.field(name, types[kind], metadata={"description": meaning}) for name, (kind, meaning) in COLUMNS.items()]
    )
    columns = [[getattr(record, name) for record in records] for name in COLUMNS]
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _metrics(result: CellResult) -> dict[str, Any]:
    return {
        **_identity(result),
        "metrics": {
            name: {
                "value": finite(estimate.value),
                "low": finite(estimate.low),
                "high": finite(estimate.high),
                "n": int(estimate.n),
                "missing": int(estimate.missing),
                "note": estimate.note,
            }
            for name, estimate in result.metrics.items()
        },
        "counts": {name: int(count) for name, count in result.counts.items()},
    }


def _identity(result: CellResult) -> dict[str, Any]:
    known = {name: getattr(result, name) for name in (*IDENTITY, *OPTIONAL)}
    return {**known, "dose": finite(result.dose), "seconds": finite(result.seconds)}


def _summary_row(result: CellResult) -> dict[str, Any]:
    row = _identity(result)
    for name, estimate in result.metrics.items():
        row[name] = finite(estimate.value)
        row[f"{name}_low"], row[f"{name}_high"] = finite(estimate.low), finite(estimate.high)
        row[f"{name}_n"], row[f"{name}_missing"] = int(estimate.n), int(estimate.missing)
    return row | {f"count_{name}": int(count) for name, count in result.counts.items()}


def _record(row: dict[str, Any]) -> Record:
    lists = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Record(**{**row, **lists})
