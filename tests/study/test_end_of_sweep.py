"""The end of a sweep: each cell's samples are read once, and the comparison is computed once for page and tracker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from sweeps import KINDS, QUERIES, write_sweep

from mindgap.analysis import whole
from mindgap.core.compose import composed, config_folder
from mindgap.study.experiment import build_experiment
from mindgap.study.forecast import forecasts
from mindgap.study.sweep import SweepCallback


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each samples.parquet is read and each group compared."""
    counts: Counter[str] = Counter()
    compare = whole.compare  # type: ignore[attr-defined]

    class CountedFile(pq.ParquetFile):
        def __init__(self, source: Any, **settings: Any) -> None:
            counts[f"read {Path(source).parent.name}/{Path(source).name}"] += 1
            super().__init__(source, **settings)

    def counted_compare(group: Any, *question: Any) -> Any:
        counts[f"compare {group.title}"] += 1
        return compare(group, *question)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", CountedFile)
        patch.setattr(whole, "compare", counted_compare)
        yield counts


def test_samples_are_read_once_and_compared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:3], queries=QUERIES[:3], items=4)
    node = composed(["sweep=study", f"outputs={tmp_path}", "judge=proxy", "tracker.mode=offline"], config_folder())
    with counting(monkeypatch) as counts:
        SweepCallback().on_multirun_end(OmegaConf.create(node))
    read = {name: count for name, count in counts.items() if name.startswith("read")}
    assert len(read) == 3 and set(read.values()) == {1}
    assert [count for name, count in counts.items() if name.startswith("compare")] == [1]
    assert (folder / "report.html").is_file() and list(folder.glob("wandb/offline-run-*"))
    printed = capsys.readouterr().out
    (group,) = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["groups"]
    assert "Prompting" in printed and group["headline"] in " ".join(printed.split())


def test_a_forecast_goes_by_cells_of_the_same_model_and_task(tmp_path: Path, tiny: object) -> None:
    write_sweep(
        tmp_path / "earlier",
        kinds=KINDS[:1],
        queries=QUERIES[:1],
        items=2,
        seconds=30.0,
        counts={"made": 60, "samples": 20},
    )

    def seconds(task: str) -> float | None:
        overrides = [
            "sweep=new",
            f"outputs={tmp_path}",
            "judge=proxy",
            f"task={task}",
            "task.limit=2",
            "query_set.queries=[be funny]",
        ]
        (told,) = forecasts([build_experiment(composed(overrides, config_folder()))])
        return told.seconds

    assert seconds("starter_open") is None  # the earlier cell was run on mmlu
    for path in (tmp_path / "earlier").glob("*/config.yaml"):
        path.write_text(path.read_text().replace("name: mmlu", "name: starter_open"))
    # 0.5 s a thing made, three things a sample, two questions under one behaviour
    assert seconds("starter_open") == pytest.approx(0.5 * 3 * 2)
