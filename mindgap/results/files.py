"""Writes and reads the files of a cell and of a sweep, which are the record of truth.

Every file is written beside its place and renamed into it, so a reader never sees half of one, and a killed run
leaves the old file or the new one. `metrics.json` goes first when a cell is written anew and comes last: a folder
that has it is complete and of one piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from mindgap.core.estimate import Estimate, finite
from mindgap.core.moved import with_current_names
from mindgap.core.records import Record
from mindgap.results.cell import CellResult
from mindgap.results.masking import without_secrets
from mindgap.results.samples import declaration_of, read_samples, samples_table
from mindgap.results.saved import SavedRecords
from mindgap.storage.atomic import replacing
from mindgap.storage.table import write_csv

SAMPLES = "samples.parquet"
METRICS_FILE = "metrics.json"
CONFIG = "config.yaml"
SUMMARY = "summary.csv"

IDENTITY = ("name", "sweep", "model", "method", "label", "strength", "dose", "judge", "status", "reason", "seconds")
"""What `metrics.json` and `summary.csv` say of a cell beside its metrics and counts."""

OPTIONAL = ("judge_usd", "source")
"""Further such fields, which files of earlier versions lack."""


def write_cell(result: CellResult) -> None:
    """Write `samples.parquet`, `config.yaml` and `metrics.json` to the cell's folder, secrets masked.

    Raises:
        OSError: The folder cannot be written.
    """
    import pyarrow.parquet as pq
    import yaml

    result = without_secrets(result)
    result.folder.mkdir(parents=True, exist_ok=True)
    (result.folder / METRICS_FILE).unlink(missing_ok=True)
    with replacing(result.folder / SAMPLES) as path:
        pq.write_table(samples_table(result.records, result.measures), path, compression="zstd")
    with replacing(result.folder / CONFIG) as path:
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C where PyYAML was built with it: ten times faster
        text = yaml.dump(result.config, Dumper=dumper, sort_keys=False, allow_unicode=True)
        path.write_text(text, encoding="utf-8")
    with replacing(result.folder / METRICS_FILE) as path:
        path.write_text(json.dumps(_metrics(result), indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_cell(folder: Path, *, samples: Literal["now", "when asked", "never"] = "now") -> CellResult:
    """Read the cell that was written to `folder`.

    Args:
        folder: The cell's.
        samples: When its records are read, which takes longest; never: it has none.

    Raises:
        FileNotFoundError: The cell is not complete.
    """
    saved = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    records: Sequence[Record]
    if samples == "never":
        records, measures = (), tuple(map(declaration_of, saved["measures"]))
    elif samples == "when asked":
        records, measures = SavedRecords.of(folder / SAMPLES)
    else:
        import pyarrow.parquet as pq

        records, measures = read_samples(pq.read_table(folder / SAMPLES))
    return CellResult(
        **{name: saved[name] for name in IDENTITY},
        **{name: saved.get(name) for name in OPTIONAL},
        folder=folder,
        config=read_config(folder),
        measures=measures,
        metrics={name: Estimate(**estimate) for name, estimate in saved["metrics"].items()},
        counts=saved["counts"],
        records=records,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the cell that was written to `folder`."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return with_current_names(yaml.load((folder / CONFIG).read_text(encoding="utf-8"), Loader=loader))


def finished_cells(outputs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folders of the finished cells of every sweep in `outputs`, each with what its `metrics.json` says."""
    for path in sorted(outputs.glob(f"*/*/{METRICS_FILE}")):
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if saved.get("status") == "finished":
            yield path.parent, saved


def write_summary(folder: Path, results: Sequence[CellResult]) -> None:
    """Write `summary.csv` to a sweep's folder: one row a cell, in the order given; an empty field is a missing value.

    A metric `x` has the columns `x`, `x_low`, `x_high` (95 % interval), `x_n` and `x_missing`; a count has `count_x`.
    """
    rows = [_summary_row(without_secrets(replace(result, records=()))) for result in results]
    columns = list(dict.fromkeys([*IDENTITY, *OPTIONAL, *(name for row in rows for name in row)]))
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / SUMMARY, columns, rows)


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
        "measures": [asdict(measure) for measure in result.measures],
        "counts": {name: int(count) for name, count in result.counts.items()},
    }


def _identity(result: CellResult) -> dict[str, Any]:
    fields = {name: getattr(result, name) for name in (*IDENTITY, *OPTIONAL)}
    return {**fields, "dose": finite(result.dose), "seconds": finite(result.seconds)}


def _summary_row(result: CellResult) -> dict[str, Any]:
    row = _identity(result)
    for name, estimate in result.metrics.items():
        row[name] = finite(estimate.value)
        row[f"{name}_low"], row[f"{name}_high"] = finite(estimate.low), finite(estimate.high)
        row[f"{name}_n"], row[f"{name}_missing"] = int(estimate.n), int(estimate.missing)
    return row | {f"count_{name}": int(count) for name, count in result.counts.items()}
