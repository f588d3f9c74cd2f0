"""Puts a sweep's cells beside the figures that a study has published, over all queries and for each single one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.core.build import build
from mindgap.core.columns import applies, facts, values_of
from mindgap.core.errors import ConfigError
from mindgap.core.estimate import Estimate
from mindgap.core.measurement import Declaration
from mindgap.results.cell import CellResult
from mindgap.stats.bootstrap import crossed_mean
from mindgap.steering.methods import Method

PER_QUERY_RESAMPLES = 2_000


@dataclass(frozen=True)
class Published:
    """A study's figures (schema: `mindgap/data/paper_table.json`).

    Attributes:
        source: Where they were published.
        judge: Who scored behaviour and coherence there.
        task: The questions there.
        precision: To what the figures of single queries are rounded, by measure; `all_queries` is that of the others.
        models: By our short name, each with `model` (its full name), `all_queries` (method: figures) and `queries`
            (query: method: figures).
        flags: Figures that do not mean what they say, and why.
    """

    source: str
    judge: str
    task: str
    precision: Mapping[str, float]
    models: Mapping[str, Mapping[str, Any]]
    flags: tuple[Mapping[str, str], ...] = ()

    def flag(self, model: str, method: str, query: str, measure: str) -> str:
        """Why a figure is not to be trusted; empty if nothing is known against it."""
        figure = {"model": model, "method": method, "query": query, "metric": measure}
        return next((flag["why"] for flag in self.flags if figure.items() <= flag.items()), "")


@dataclass(frozen=True)
class Line:
    """One of our figures beside the published one.

    Attributes:
        cell: Name of our cell.
        label: What people call it: label and strength.
        model: Short name of our model.
        method: Short name of the method.
        strength: Label of the strength.
        judge: Who scored our cell.
        published_model: Full name of the study's model.
        query: The behaviour asked for; None = over all queries that both have.
        queries: How many queries that are.
        measure: What was measured.
        ours: Our mean with its interval.
        published: The study's; None where it gives no such figure.
        inside: Whether the published figure lies in our interval, its own rounding allowed for; None without both.
        flag: Why the published figure is not to be trusted; empty if nothing is known.
    """

    cell: str
    label: str
    model: str
    method: str
    strength: str
    judge: str
    published_model: str
    query: str | None
    queries: int
    measure: Declaration
    ours: Estimate
    published: float | None
    inside: bool | None = None
    flag: str = ""

    @property
    def difference(self) -> float | None:
        """Ours less the published figure; None where either lacks."""
        if self.ours.value is None or self.published is None:
            return None
        return self.ours.value - self.published


@dataclass(frozen=True)
class Against:
    """All of a sweep's figures that have a published counterpart.

    Attributes:
        source: Where the counterparts were published.
        lines: Cell by cell, all queries before single ones.
        caveats: What keeps like from being compared with like.
        left_out: Our cells that have no published counterpart, and why.
    """

    source: str
    lines: tuple[Line, ...]
    caveats: tuple[str, ...]
    left_out: tuple[str, ...]


def read_published(what: str = "paper") -> Published:
    """Read a study's figures.

    Args:
        what: `paper`, or a JSON file laid out like `mindgap/data/paper_table.json`.

    Raises:
        ConfigError: There is no such file, or it is laid out otherwise.
    """
    if what == "paper":
        text = (resources.files("mindgap") / "data" / "paper_table.json").read_text(encoding="utf-8")
    else:
        path = Path(what)
        if not path.is_file():
            raise ConfigError(
                f"against={what}: say paper, or give a JSON file laid out like mindgap/data/paper_table.json"
            )
        text = path.read_text(encoding="utf-8")
    try:
        data = json.loads(text)
        return Published(
            data["source"],
            data["judge"],
            data["task"],
            data["precision"],
            data["models"],
            tuple(data.get("flags", ())),
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"against={what}: not laid out like mindgap/data/paper_table.json ({error!r})") from error


def against_paper(results: Sequence[CellResult], figures: Published | None = None, *, seed: int = 0) -> Against:
    """Put cells beside published figures.

    A cell is compared with the published model of its name; a model that the study has not is put beside each of its
    models, with a caveat. Methods are matched by name.

    Args:
        results: The cells.
        figures: The study's; None = the paper's.
        seed: Of the bootstrap.
    """
    figures = figures or read_published()
    lines: list[Line] = []
    left_out: list[str] = []
    compared: list[CellResult] = []
    order = {method: place for entry in figures.models.values() for place, method in enumerate(entry["all_queries"])}
    for result in sorted(results, key=lambda result: order.get(result.method, len(order))):
        name = f"{result.model} {_title(result)}"
        if result.status == "failed" or not result.records:
            left_out.append(f"{name}: it failed")
            continue
        cell_lines: list[Line] = []
        for model, entry in _counterparts(result, figures):
            if result.method in entry["all_queries"]:
                cell_lines += _lines(result, model, entry, figures, seed)
        if cell_lines:
            lines += cell_lines
            compared.append(result)
        else:
            why = "no query in common" if result.method in order else "no such method there"
            left_out.append(f"{name}: {why}")
    return Against(figures.source, tuple(lines), tuple(_caveats(compared, lines, figures)), tuple(left_out))


def _counterparts(result: CellResult, figures: Published) -> Iterable[tuple[str, Mapping[str, Any]]]:
    own = figures.models.get(result.model)
    return [(result.model, own)] if own else figures.models.items()


def _lines(result: CellResult, model: str, entry: Mapping[str, Any], figures: Published, seed: int) -> list[Line]:
    """The cell's lines beside a published model; none where they have no query in common."""
    asked, items = (np.array(facts(result.records, name), dtype=object) for name in ("query", "item"))
    shared = [query for query in entry["queries"] if (asked == query).any()]
    lines = []
    for measure in (measure for measure in result.measures if measure.name in figures.precision and shared):
        measured, measured_values = applies(result.records, measure.name), values_of(result.records, measure.name)
        if not measured.any():
            continue
        for query in (None, *shared):
            queries = set(shared) if query is None else {query}
            chosen = measured & np.isin(asked, list(queries))
            ours = crossed_mean(
                measured_values[chosen],
                asked[chosen],
                items[chosen],
                seed=seed,
                resamples=10_000 if query is None else PER_QUERY_RESAMPLES,
                binary=measure.binary,
                bounds=measure.range,
            )
            value, flag, rounding = _figure(figures, model, entry, result.method, measure.name, query, shared)
            lines.append(
                Line(
                    cell=result.name,
                    label=_title(result),
                    model=result.model,
                    method=result.method,
                    strength=result.strength,
                    judge=result.judge,
                    published_model=str(entry["model"]),
                    query=query,
                    queries=len(queries),
                    measure=measure,
                    ours=ours,
                    published=value,
                    flag=flag,
                    inside=_inside(ours, value, rounding),
                )
            )
    return lines


def _figure(
    figures: Published,
    model: str,
    entry: Mapping[str, Any],
    method: str,
    measure: str,
    query: str | None,
    shared: Sequence[str],
) -> tuple[float | None, str, float]:
    """The published figure, what is to be said against it, and what it is rounded to.

    Over fewer queries than the study's it is the mean of their single figures, so that both sides rest on the same.
    """
    if query is not None:
        value = entry["queries"][query].get(method, {}).get(measure)
        return value, figures.flag(model, method, query, measure), float(figures.precision[measure])
    doubtful = [name for name in shared if figures.flag(model, method, name, measure)]
    flag = f"contains {', '.join(map(repr, doubtful))}" if doubtful else ""
    if len(shared) == len(entry["queries"]):
        return entry["all_queries"][method].get(measure), flag, float(figures.precision["all_queries"])
    values = [entry["queries"][name].get(method, {}).get(measure) for name in shared]
    present = [value for value in values if value is not None]
    return (sum(present) / len(present) if present else None), flag, float(figures.precision[measure])


def _inside(ours: Estimate, value: float | None, rounding: float) -> bool | None:
    if value is None or ours.low is None or ours.high is None:
        return None
    return ours.low - rounding / 2 <= value <= ours.high + rounding / 2


def _caveats(compared: Sequence[CellResult], lines: Sequence[Line], figures: Published) -> Iterable[str]:
    """What keeps like from being compared with like."""
    if others := _names(result.judge for result in compared if result.judge != figures.judge):
        yield (
            f"Behaviour and coherence: scored by {figures.judge} there and by {others} here. Scores of two judges are "
            "not on one scale; compare the order of methods, not the values."
        )
    tasks = {str((result.config.get("task") or {}).get("name") or "unknown") for result in compared}
    if other := _names(task for task in tasks if task != figures.task):
        yield f"Questions: {figures.task} there, {other} here."
    models = _names(result.model for result in compared if result.model not in figures.models)
    if models:
        yield f"Model: {models} is none of the study's."
    total = max((len(entry["queries"]) for entry in figures.models.values()), default=0)
    if fewer := sorted({line.queries for line in lines if line.query is None and line.queries < total}):
        many = " or ".join(str(count) for count in fewer)
        yield f"All queries: the {many} of {total} that both have, from the published figures of each."
    for result in compared:
        if carried := result.counts.get("found_contaminated"):
            yield f"{_title(result)}: {carried} of its samples carry the instruction of another method."
    if any(result.method == "combined" and _adds_vectors(result) for result in compared):
        yield "Combined: an instruction with Auto Steer's features there, with an activation vector here."


def _adds_vectors(result: CellResult) -> bool:
    """Whether the cell's method adds activation vectors, by what its interventions say that they need."""
    try:
        needs = build(result.config["method"], "method", Method).needs
    except (ConfigError, KeyError):  # a class of the user's that is not here, or a cell without a configuration
        return False
    return "residual" in needs


def _title(result: CellResult) -> str:
    return result.label if result.strength == "none" else f"{result.label} {result.strength}"


def _names(texts: Iterable[str]) -> str:
    return " and ".join(sorted(set(texts)))
