"""The extensions in examples/ run as their README says; the usual mistakes in such classes are told in a sentence."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindgap.core.build import build
from mindgap.core.edits import AddVector
from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest, Query, Score
from mindgap.judges.base import Judge
from mindgap.judges.fetch import judgements
from mindgap.steering.bench import SteeringBench
from mindgap.steering.methods import Intervention, Method
from mindgap.storage.store import Store

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "extensions"
COMMANDS = [line for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith("python -m mindgap ")]
QUERY = Query("be funny", "rubric")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "extensions"))


def run(command: str, folder: Path, *more: str) -> dict[str, dict[str, str]]:
    words = shlex.split(command)[1:]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLE.parents[1])}
    command_line = [sys.executable, *words, "sweep=s", *more]
    done = subprocess.run(command_line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (folder / "outputs" / "s" / "summary.csv").open(encoding="utf-8") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def test_task_judge_measure_backend_and_queries_work_together_without_a_model(package: Path) -> None:
    rows = run(COMMANDS[0], package)
    assert {row["judge"] for row in rows.values()} == {"keywords"}
    assert float(rows["prompt"]["behaviour"]) == 5 and float(rows["control"]["behaviour"]) == 1
    assert all(float(row["exclamations"]) > 0 and row["accuracy_n"] == "40" for row in rows.values())


def test_intervention_and_strength_steer_a_real_model(package: Path, tiny: object) -> None:
    rows = run(COMMANDS[1], package, "task.limit=1", "decoding.max_tokens=4", "method=towards")
    assert rows["towards"]["strength"] == "atmost0.2" and 0 < float(rows["towards"]["dose"]) <= 0.2 + 1e-6


class Endpoint:
    layers = 30


def bench() -> SteeringBench:
    return SteeringBench(Endpoint(), None, 0)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Gives:
    made: Any
    needs: frozenset = frozenset()

    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> Any:
        return self.made


@pytest.mark.parametrize(
    ("made", "hint"),
    [
        ([(AddVector(30, np.ones(4)),)], "edits block 30 for 'be funny': the model has blocks 0 to 29"),
        ([AddVector(3, np.ones(4))], "gave a AddVector for 'be funny': each entry must be a tuple of edits"),
        ([], "gave 0 entries: it must give a list with an entry for each of 1 queries"),
        (None, "gave a NoneType"),
    ],
)
def test_an_intervention_that_gives_no_edits_is_refused_with_what_it_should_give(made: Any, hint: str) -> None:
    with pytest.raises(ConfigError, match=r"method\.interventions\.0") as refused:
        Method("own", "Own", interventions=(Gives(made),)).edits([QUERY], bench())
    assert hint in str(refused.value)


class WithoutNeeds:
    def edits(self, queries: Sequence[Query], bench: SteeringBench) -> list[tuple]:
        return [()] * len(queries)


@dataclass(frozen=True)
class WithoutLacks:
    name: str = "own"
    identity: str = "own/1"

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        yield from ()


@pytest.mark.parametrize(
    ("cls", "kind", "settings", "hint"),
    [
        (WithoutNeeds, Intervention, {}, "this one lacks needs"),
        (WithoutLacks, Judge, {}, "this one lacks lacks"),
        (Gives, Intervention, {"made": 1, "nedes": []}, "Did you mean x.needs?"),
    ],
)
def test_what_a_class_lacks_and_a_misspelt_key_are_named(
    cls: type, kind: type, settings: dict[str, Any], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINDGAP_ALLOW_TARGETS", cls.__module__.partition(".")[0])
    with pytest.raises(ConfigError) as refused:
        build({"_target_": f"{cls.__module__}.{cls.__qualname__}", **settings}, "x", kind)
    assert hint in str(refused.value)


@dataclass(frozen=True)
class Stumbles:
    """Judges the first, and raises at the second."""

    name: str = "own"
    identity: str = "own/1"

    def lacks(self) -> list[str]:
        return []

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        for index, request in enumerate(requests):
            if request.response == "bad":
                raise ZeroDivisionError("no words")
            yield index, Judgement(Score(3), Score(4))


def test_a_judge_that_raises_leaves_missing_scores_with_the_reason_and_is_asked_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    requests = [JudgeRequest("be funny", "rubric", "?", reply) for reply in ("good", "bad", "later")]
    first = list(judgements(requests, Stumbles(), store).values())
    assert [judgement.behaviour.value for judgement in first] == [3, None, None]
    assert first[1].coherence.missing == "judge own failed: ZeroDivisionError: no words"
    again = list(judgements([requests[0], requests[2]], Stumbles(), store).values())
    assert [judgement.behaviour.value for judgement in again] == [3, 3]
    store.close()
