"""Judges, a task and a backend that cost nothing and say what they were asked, named by `_target_` in the tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from sweeps import KINDS, Kind, make_cell

from mindgap.core.records import Completion, Item, Judgement, JudgeRequest, OptionScores, OptionsRequest, Request, Score
from mindgap.results.files import write_cell

QUERIES = ("be funny", "be terse", "be kind")
ITEMS = 12
ASKED: list[tuple[str, JudgeRequest]] = []
"""Every request that any judge here was sent, with the judge's name."""


@dataclass(frozen=True)
class Reader:
    """Reads the behaviour that the response says it has: `like` it, or turned round. `stop_after`: then Ctrl-C.

    `deaf` is a query for which it cannot be reached.
    """

    title: str = "reader"
    like: bool = True
    stop_after: int | None = None
    deaf: str = ""
    usd: float | None = None

    @property
    def name(self) -> str:
        return self.title

    @property
    def identity(self) -> str:
        return f"{self.title}/{self.like}"

    def lacks(self) -> list[str]:
        return []

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        for index in reversed(range(len(requests))):  # in any order
            if self.stop_after is not None and len(ASKED) >= self.stop_after:
                raise KeyboardInterrupt
            ASKED.append((self.title, requests[index]))
            yield index, self._said(requests[index])

    def _said(self, request: JudgeRequest) -> Judgement:
        if request.query == self.deaf:
            gone = Score(None, "no judgement: the line is dead")
            return Judgement(gone, gone, transient=True)
        value = float(request.response.split()[0])
        return Judgement(Score(value if self.like else 6 - value), Score(4), "as it says", self.usd)


@dataclass(frozen=True)
class Questions:
    """A task of open questions with the ids of made-up sweeps."""

    name: str = "questions"

    def load(self) -> tuple[Item, ...]:
        return tuple(Item(f"mmlu/{number}", f"What is {number}?") for number in range(ITEMS))


@dataclass(frozen=True)
class Parrot:
    """A backend whose every reply begins with a score and tells requests apart."""

    name: str = "parrot"
    identity: str = "parrot"
    can: frozenset[str] = frozenset({"generate"})

    def lacks(self, model: Any, needs: frozenset[str]) -> list[str]:
        return []

    def open(self, model: Any) -> Parrot:
        return self

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for index, request in enumerate(requests):
            yield index, Completion(f"{index % 5 + 1} of {request.key}", "stop")

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        raise NotImplementedError("it says that it cannot")


def write_readable(folder: Path, kinds: Sequence[Kind] = KINDS[:3]) -> Path:
    """A sweep whose responses begin with their behaviour score and whose settings give questions and rubrics."""
    for kind in kinds:
        cell = make_cell(folder, kind, queries=QUERIES, items=ITEMS)
        records = tuple(
            replace(record, response=f"{record.behaviour or 3} {record.method} {record.key}", loglik_correct=None)
            for record in cell.records
        )
        failed = replace(records[0], error="the server said no", response="", behaviour=None, coherence=None)
        failed = replace(failed, behaviour_missing="not judged: no reply", coherence_missing="not judged: no reply")
        config = cell.config | {
            "task": {"_target_": "scripted.Questions"},
            "query_set": {"name": "three", "queries": [{"text": text, "rubric": f"is it {text}?"} for text in QUERIES]},
        }
        write_cell(replace(cell, records=(failed, *records[1:]), config=config))
    return folder


def judge_files(folder: Path, **judges: dict[str, Any]) -> Path:
    """A folder of configuration with these judges, for `config_dir`."""
    (folder / "judge").mkdir(parents=True, exist_ok=True)
    for name, settings in judges.items():
        node = {"_target_": "scripted.Reader", "title": name, "like": True, "stop_after": None, "deaf": "", "usd": None}
        (folder / "judge" / f"{name}.yaml").write_text(yaml.safe_dump(node | settings), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Unopened(Parrot):
    """A backend that cannot be opened: nobody is there, or the user presses Ctrl-C meanwhile."""

    interrupted: bool = False

    def open(self, model: Any) -> Parrot:
        if self.interrupted:
            raise KeyboardInterrupt
        raise ConnectionError("nobody is there")
