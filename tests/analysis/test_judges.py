"""Does the judge matter? What reports say where several judges saw the same responses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sweeps import KINDS, compared, write_reports, write_sweep

from mindgap.core.records import Judgement, Record, Score
from mindgap.results.cards import cards_of
from mindgap.results.files import read_cell
from mindgap.results.judgements import write_judgements
from mindgap.results.ratings import Rating, append_rating
from mindgap.results.sweep import read_sweep
from mindgap.stats.agreement import quadratic_kappa, spearman

SMALL = {"kinds": KINDS[:3], "queries": (*"abcdefghij",), "items": 8}


@dataclass(frozen=True)
class Named:
    name: str
    identity: str = "any"


def score(folder: Path, judge: str, behaviour: Callable[[Record], float | None]) -> None:
    """Have `judge` give every sample of the sweep this behaviour, and the coherence that it has."""
    for path in sorted(folder.glob("*/metrics.json")):
        cell = read_cell(path.parent)
        judgements = {}
        for record in cell.records:
            value = behaviour(record)
            shown = Score(None, "no opinion") if value is None else Score(value)
            same = Score(None, "no opinion") if record.coherence is None else Score(record.coherence)
            judgements[record.key] = Judgement(shown, same)
        write_judgements(cell.folder, Named(judge), judgements)  # type: ignore[arg-type]


def turned(record: Record) -> float | None:
    return None if record.behaviour is None else 6 - record.behaviour


def squeezed(record: Record) -> float | None:
    """The same opinion on a narrower scale."""
    return None if record.behaviour is None else 3 + (record.behaviour - 3) / 4


def judges_of(folder: Path) -> dict:
    write_reports(folder, formats=("html", "markdown", "latex"))
    (group,) = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["groups"]
    return group["judges"]


@pytest.fixture(scope="module")
def contradicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sweep(tmp_path_factory.mktemp("outputs") / "study", **SMALL)  # type: ignore[arg-type]
    score(folder, "contrary", turned)
    write_reports(folder, formats=("html", "markdown", "latex"))
    return folder


def test_one_judge_is_said_in_one_line_with_the_way_to_another(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", **SMALL)  # type: ignore[arg-type]
    judges = judges_of(folder)
    assert [view["judge"] for view in judges["views"]] == ["proxy"] and judges["reversals"] == []
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text(encoding="utf-8").replace("\\_", "_")
        assert "Only one judge saw these responses: proxy." in text
        assert "python -m mindgap.judge outputs/study judge=NAME" in text


def test_a_judge_that_turns_the_order_round_is_a_warning_everywhere(contradicted: Path) -> None:
    (group,) = json.loads((contradicted / "comparison.json").read_text(encoding="utf-8"))["groups"]
    judges = group["judges"]
    own, other = judges["views"]
    assert own["headline"] == group["headline"] != other["headline"]
    assert "Prompting brings the most" in own["headline"]
    assert "Prompting brings the most" not in other["headline"]
    assert other["orders"]["behaviour"] == {"kendall": -1, "spearman": -1, "cells": 3}
    assert ["Control", "Prompting"] in [reversal["cells"] for reversal in judges["reversals"]]
    assert {reversal["metric"] for reversal in judges["reversals"]} == {"behaviour"}  # coherence is the same under both
    for name in ("report.html", "report.md"):
        text = (contradicted / name).read_text(encoding="utf-8")
        assert "Warning: the judge decides the order of Control and Prompting in behaviour" in text
        assert other["headline"][:30] in text
    assert "Means by judge" in (contradicted / "tables.tex").read_text(encoding="utf-8")


def test_agreement_and_means_are_those_of_the_scores(contradicted: Path) -> None:
    (group,) = json.loads((contradicted / "comparison.json").read_text(encoding="utf-8"))["groups"]
    view = group["judges"]["views"][1]
    records = [record for path in contradicted.glob("*/metrics.json") for record in read_cell(path.parent).records]
    own = np.array([np.nan if record.behaviour is None else record.behaviour for record in records])
    agreement = view["agreement"]["behaviour"]
    assert agreement["spearman"]["value"] == pytest.approx(spearman(own, 6 - own)) == pytest.approx(-1)
    assert agreement["kappa"]["value"] == pytest.approx(quadratic_kappa(own, 6 - own))
    assert agreement["kappa"]["low"] < agreement["kappa"]["value"] < agreement["kappa"]["high"]
    assert agreement["kappa"]["n"] + agreement["kappa"]["missing"] == len(records) == view["of"]
    assert set(view["by_query"]["behaviour"]) == set(SMALL["queries"])  # type: ignore[call-overload]
    means = {cell["cell"]: cell["metrics"]["behaviour"]["value"] for cell in group["cells"]}
    assert {
        cell: means_of_cell["behaviour"]["value"] for cell, means_of_cell in view["means"].items()
    } == pytest.approx({cell: 6 - mean for cell, mean in means.items()})
    assert view["agreement"]["coherence"]["kappa"]["value"] == pytest.approx(1)


def test_another_scale_or_noise_is_no_warning(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", **SMALL)  # type: ignore[arg-type]
    score(folder, "timid", squeezed)
    generator = np.random.default_rng(0)
    score(folder, "dice", lambda record: float(generator.integers(1, 6)))
    judges = judges_of(folder)
    assert [view["judge"] for view in judges["views"]] == ["proxy", "dice", "timid"]
    assert judges["reversals"] == []
    dice, timid = judges["views"][1:]
    assert timid["orders"]["behaviour"]["kendall"] == 1
    assert timid["agreement"]["behaviour"]["spearman"]["value"] == pytest.approx(1)
    assert abs(dice["agreement"]["behaviour"]["spearman"]["value"]) < 0.25
    assert judges["alpha"]["behaviour"]["value"] < timid["agreement"]["behaviour"]["alpha"]["value"]


def test_people_are_judges_of_what_they_rated(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", **SMALL)  # type: ignore[arg-type]
    cards = cards_of(read_sweep(folder))
    records = [record for path in sorted(folder.glob("*/metrics.json")) for record in read_cell(path.parent).records]
    rated = [record for record in records if record.behaviour is not None][:30]
    for record in rated:
        assert record.behaviour is not None
        append_rating(folder, Rating("anna", cards.by_record[record.key].key, behaviour=int(record.behaviour)))
    append_rating(folder, Rating("anna", cards.by_record[rated[0].key].key))  # the first one is taken back
    judges = judges_of(folder)
    view = judges["views"][1]
    assert (view["judge"], view["scored"], view["of"]) == ("person:anna", 29, len(records))
    assert view["agreement"]["behaviour"]["kappa"]["value"] == pytest.approx(1)
    assert view["agreement"]["behaviour"]["kappa"]["n"] == 29
    assert view["agreement"]["coherence"]["kappa"]["value"] is None
    assert f"29 of {len(records)} samples" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_judge_of_some_cells_only_does_not_stop_the_report(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", **SMALL)  # type: ignore[arg-type]
    score(folder, "late", squeezed)
    for path in folder.glob("tiny-prompt-none/judgements/*"):
        path.unlink()
    view = judges_of(folder)["views"][1]
    assert view["means"]["tiny-prompt-none"]["behaviour"]["value"] is None
    assert view["orders"]["behaviour"]["cells"] == 2


def test_the_headline_under_a_judge_is_that_of_a_sweep_it_judged(contradicted: Path) -> None:
    (comparison,) = compared(contradicted).groups
    assert comparison.judges is not None
    own = comparison.judges.views[0]
    from mindgap.analysis.headline import headline

    assert own.headline == headline(comparison)
