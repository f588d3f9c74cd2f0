"""An imported recording is a sweep like any other, and says more of itself."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.replay.importing import import_recording
from mindgap.results.files import read_cell
from mindgap.results.imports.cells import NO_ROW
from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.written import read_findings

Rows = list[dict[str, Any]]
Mapped = Callable[..., ColumnMap]
Written = Callable[..., Path]
FEW = 100


@dataclass(frozen=True)
class LengthJudge:
    """Scores by length, and remembers what it was shown."""

    seen: list[JudgeRequest] = field(default_factory=list)
    name: str = "length"
    identity: str = "length"

    def lacks(self) -> list[str]:
        return []

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        for index, request in enumerate(requests):
            self.seen.append(request)
            yield index, Judgement(Score(1 + len(request.response) % 5), Score(None, "it cannot tell"), "counted")


def test_cells_are_read_back_like_those_of_any_sweep(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    imported = import_recording(written(clean), mapped(), folder, resamples=FEW)
    cells = {cell.method: read_cell(folder / cell.name) for cell in imported.cells}
    assert list(cells) == ["control", "prompt", "autosteer"]
    assert cells["autosteer"].strength == "native"
    assert cells["control"].metrics["behaviour"].value == 2
    assert cells["autosteer"].metrics["behaviour"].value == 4
    assert cells["control"].judge == "somebody"
    first = cells["prompt"].records[0]
    assert (first.query, first.response) == ("be funny", "Asked on Why is the sky blue? (be funny)")
    assert first.system_prompt == "When answering, please be funny."
    assert {cell.config["backend"]["name"] for cell in cells.values()} == {"replay"}
    lines = (folder / "summary.csv").read_text().splitlines()
    assert [line.split(",")[3] for line in lines[1:]] == ["control", "prompt", "autosteer"]


def test_samples_of_methods_meet_by_content_whatever_the_order_of_rows(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path
) -> None:
    mixed = random.Random(0).sample(clean, len(clean))
    sets = []
    for name, rows in (("a", clean), ("b", mixed)):
        imported = import_recording(written(rows), mapped(), tmp_path / name, resamples=FEW)
        sets.append(
            {(r.method, r.query, r.item, r.epoch, r.key, r.response) for c in imported.cells for r in c.records}
        )
    assert sets[0] == sets[1]
    pairs = [
        {(query, item, epoch) for m, query, item, epoch, *_ in sets[0] if m == method}
        for method in ("control", "prompt")
    ]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == 6


def test_a_score_out_of_range_is_missing_with_its_reason_and_enters_no_mean(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path
) -> None:
    clean[0]["shown"] = 0
    cell = import_recording(written(clean), mapped(), tmp_path / "x", resamples=FEW).cells[0]
    assert cell.records[0].behaviour is None
    assert cell.records[0].behaviour_missing == "0 is outside 1-5"
    assert (cell.metrics["behaviour"].value, cell.metrics["behaviour"].n, cell.metrics["behaviour"].missing) == (
        2,
        5,
        1,
    )
    assert cell.counts["found_score_out_of_range"] == 1


@pytest.mark.parametrize("absent", ["fail", "ignore"])
def test_a_missing_row_is_a_failed_sample_or_none_and_never_moves_another(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path, absent: str
) -> None:
    whole = import_recording(written(clean), mapped(), tmp_path / "whole", resamples=FEW).cells[0]
    less = import_recording(written(clean[1:]), mapped(absent=absent), tmp_path / "less", resamples=FEW).cells[0]
    assert [r for r in less.records if r.error is None] == list(whole.records[1:])
    failed = [r for r in less.records if r.error is not None]
    if absent == "ignore":
        assert not failed
        return
    assert [(r.query, r.item, r.behaviour_missing) for r in failed] == [
        (whole.records[0].query, whole.records[0].item, NO_ROW)
    ]
    assert less.counts["errors"] == 1
    assert less.metrics["behaviour"].missing == 1


def test_answers_are_read_by_our_rules_or_taken_as_recorded(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path
) -> None:
    for row in clean:
        row |= {"user": row["user"] + "\nA. blue\nB. red", "reply": "<answer>A</answer>", "theirs": "B", "right": "A"}
    clean[0]["reply"] = "none"
    columns = {"gold": "right", "answer": "theirs"}
    path = written(clean)
    ours = import_recording(path, mapped(options="prompt", columns=columns), tmp_path / "o", resamples=FEW).cells[0]
    recorded = mapped(options="prompt", columns=columns, answers="recorded")
    theirs = import_recording(path, recorded, tmp_path / "t", resamples=FEW).cells[0]
    assert ours.metrics["accuracy"].value == pytest.approx(5 / 6)
    assert ours.metrics["accuracy_answered"].value == 1
    assert ours.records[1].answer == ours.records[1].gold == "blue"
    assert theirs.metrics["accuracy"].value == 0
    assert theirs.records[0].answer == "red"


def test_another_judge_sees_what_it_would_in_an_experiment_and_is_asked_once(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path
) -> None:
    path, folder, judge = written(clean), tmp_path / "out" / "x", LengthJudge()
    import_recording(path, mapped(), folder, resamples=FEW)
    said = io.StringIO()
    console = Console(file=said, width=200)
    cell = import_recording(path, mapped(), folder, judge=judge, resamples=FEW, console=console).cells[2]
    assert said.getvalue().splitlines()[-1] == "judge: length; 18 judged, 0 known from before"
    assert len(judge.seen) == 18
    assert {request.query for request in judge.seen} == {"be funny", "be concise"}
    assert all(request.query in request.rubric for request in judge.seen)
    assert all(not hasattr(request, "method") for request in judge.seen)
    first = cell.records[0]
    assert (first.behaviour, first.coherence_missing) == (1 + len(first.response) % 5, "it cannot tell")
    assert cell.judge == "length"
    assert (tmp_path / "out" / "store.sqlite").is_file()
    import_recording(path, mapped(), folder, judge=judge, resamples=FEW, console=console)
    assert len(judge.seen) == 18, "the second import asks for nothing"
    assert said.getvalue().splitlines()[-1] == "judge: length; 0 judged, 18 known from before"
    judges = sorted(read_cell(metrics.parent).judge for metrics in folder.glob("*/metrics.json"))
    assert judges == ["length"] * 3 + ["somebody"] * 3, "two judges' scores of one recording stand side by side"


def test_importing_again_replaces_and_another_file_cannot_take_its_place(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    import_recording(written(clean), mapped(), folder, resamples=FEW)
    less = [row for row in clean if row["arm"] != "Steered"]
    import_recording(written(less), mapped(), folder, resamples=FEW)
    assert sorted(path.parent.name for path in folder.glob("*/metrics.json")) == ["small-control", "small-prompt"]
    assert len((folder / "summary.csv").read_text().splitlines()) == 3
    with pytest.raises(ConfigError, match=r"small-control of recording\.csv already"):
        import_recording(written(clean, "other.csv"), mapped(), folder, resamples=FEW)
    import_recording(written(clean, "other.csv"), mapped(model="large"), folder, resamples=FEW)
    saved = json.loads((folder / "import.json").read_text())["imports"]
    assert [entry["file"] for entry in saved] == ["recording.csv", "other.csv"]


def test_what_was_found_is_kept_with_the_sweep(clean: Rows, mapped: Mapped, written: Written, tmp_path: Path) -> None:
    clean[0]["shown"] = 0
    imported = import_recording(written(clean), mapped(), tmp_path / "x", resamples=FEW)
    assert read_findings(tmp_path / "x") == imported.findings
    assert imported.findings[0].kind == "score_out_of_range"
    assert read_findings(tmp_path / "elsewhere") == ()


def test_one_file_may_hold_several_models_and_strengths(
    clean: Rows, mapped: Mapped, written: Written, tmp_path: Path
) -> None:
    rows = [{**row, "net": net, "dose": dose} for row in clean for net in ("Big-1", "big 2") for dose in ("0.1", "0.2")]
    columns = {"model": "net", "strength": "dose"}
    imported = import_recording(written(rows), mapped(columns=columns), tmp_path / "x", resamples=FEW)
    assert len(imported.cells) == 12
    assert {(cell.model, cell.strength) for cell in imported.cells} == {
        (model, dose) for model in ("big_1", "big_2") for dose in ("0.1", "0.2")
    }
    assert not imported.recording.duplicates
