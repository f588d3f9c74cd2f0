"""Sweeps made of thin air, with known truth: what a report is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mindgap.analysis.whole import SweepComparison, compare_sweep
from mindgap.core.estimate import Estimate
from mindgap.core.keys import content_key
from mindgap.core.records import Record
from mindgap.measures.base import declared, measured
from mindgap.measures.estimates import count, estimates
from mindgap.measures.standard import STANDARD
from mindgap.report.write import write_report
from mindgap.results.cell import CellResult
from mindgap.results.files import write_cell
from mindgap.results.sweep import read_sweep

QUERIES = (
    "be funny",
    "be professional and formal",
    "be creative and imaginative",
    "be concise and direct",
    "be empathetic and supportive",
    "be educational and accessible",
    "be skeptical and analytical",
    "be motivational and inspiring",
    "be technical and detailed",
    "be diplomatic and balanced",
    "be persuasive and socially influential",
    "be emotional and empathetic",
    "be authoritative and confident",
    "be misleading and ambiguous",
)
SUBJECTS = ("anatomy", "astronomy", "business_ethics", "college_chemistry", "virology")
HOSTILE = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1"><!-- <script> ]]> \u2028 ${7*7}'


@dataclass(frozen=True)
class Kind:
    """What a method truly does, in points of the scales: `behaviour` up, `coherence` and `accuracy` down."""

    method: str
    label: str
    strength: str = "none"
    dose: float | None = None
    instruction: str | None = None
    behaviour: float = 0.0
    coherence: float = 0.0
    accuracy: float = 0.0
    unparsed: float = 0.03

    @property
    def config(self) -> dict[str, Any]:
        steering = (
            [] if self.dose is None else [{"_target_": "mindgap.steering.vectors.DifferenceInMeans", "depth": 0.4}]
        )
        method = {"name": self.method, "label": self.label, "instruction": self.instruction, "interventions": steering}
        strength = {"_target_": "mindgap.steering.strength.Dose", "dose": self.dose or 0.2}
        return {"method": method, "strength": strength, "task": {"name": "mmlu"}, "seed": 0, "resamples": 2000}


MEASURES = tuple(declared(measure) for measure in STANDARD)


def measured_again(records: Iterable[Record]) -> tuple[Record, ...]:
    """The records with the values of the standard measures, whatever they had."""
    return tuple(measured(records, STANDARD))


def metrics_of(records: Sequence[Record], *, seed: int = 0) -> dict[str, Estimate]:
    return estimates(records, MEASURES, seed=seed, resamples=200)


def with_records(cell: CellResult, records: Iterable[Record]) -> CellResult:
    """The cell with other records, measured anew."""
    own = measured_again(records)
    return replace(cell, records=own, metrics=metrics_of(own), counts=count(own, MEASURES))


def compared(folder: Path) -> SweepComparison:
    return compare_sweep(read_sweep(folder))


def write_reports(folder: Path, **settings: Any) -> tuple[Path, ...]:
    """What `python -m mindgap.report` writes to the folder of a sweep."""
    return write_report(compared(folder), **settings)


ASK = "When answering, please {query}."
KINDS = (
    Kind("control", "Control"),
    Kind("prompt", "Prompting", instruction=ASK, behaviour=1.3, coherence=0.1, accuracy=0.02),
    *(
        Kind("vector", "Vector", f"dose{dose:g}", dose, None, 2.2 * dose, 3.5 * dose**2, 0.5 * dose, 0.03 + 0.3 * dose)
        for dose in (0.1, 0.2, 0.4)
    ),
    *(
        Kind("combined", "Combined", f"dose{dose:g}", dose, ASK, 1.3 + 2 * dose, 0.1 + 4 * dose**2, 0.6 * dose, 0.1)
        for dose in (0.1, 0.2, 0.4)
    ),
)


def write_sweep(
    folder: Path,
    *,
    kinds: Sequence[Kind] = KINDS,
    queries: Sequence[str] = QUERIES,
    items: int = 40,
    hostile: bool = False,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Write a sweep of one cell a kind to `folder` and return it. The same arguments give the same files."""
    for kind in kinds:
        write_cell(make_cell(folder, kind, queries=queries, items=items, hostile=hostile, seed=seed, **changes))
    return folder


def make_cell(
    folder: Path,
    kind: Kind,
    *,
    queries: Sequence[str] = QUERIES,
    items: int = 40,
    hostile: bool = False,
    seed: int = 0,
    **changes: Any,
) -> CellResult:
    """One finished cell. What an item or a query adds to its scores is the same in every cell, as in life."""
    common = np.random.default_rng(seed)
    of_query, of_item = common.normal(0, 0.4, len(queries)), common.normal(0, 0.4, items)
    own = np.random.default_rng([seed, *kind.label.encode(), *kind.strength.encode()])
    records = measured_again(
        _record(kind, query, f"mmlu/{item}", of_query[row] + of_item[item], own, hostile)
        for row, query in enumerate(queries)
        for item in range(items)
    )
    name = f"tiny-{kind.method}-{kind.strength.replace(' ', '')}"
    settings: dict[str, Any] = {
        "name": name,
        "sweep": folder.name,
        "model": "tiny",
        "method": kind.method,
        "label": kind.label + (HOSTILE if hostile else ""),
        "strength": kind.strength,
        "judge": "proxy",
        "status": "finished",
        "folder": folder / name,
        "dose": kind.dose,
        "config": kind.config,
        "measures": MEASURES,
        "metrics": metrics_of(records, seed=seed),
        "counts": count(records, MEASURES),
        "records": tuple(records),
    }
    return CellResult(**{**settings, **changes})


def _record(kind: Kind, query: str, item: str, shift: float, own: np.random.Generator, hostile: bool) -> Record:
    number = int(item.rpartition("/")[2])
    options = ("north", "east", "south", "west")
    gold = options[number % 4]
    unparsed = own.random() < kind.unparsed
    right = own.random() < 0.65 + 0.1 * shift - kind.accuracy
    answer = None if unparsed else gold if right else options[(number + 1) % 4]
    scores = [
        float(np.clip(np.round(x + own.normal(0, 0.6)), 1, 5))
        for x in (2.2 + shift + kind.behaviour, 4.3 + shift / 2 - kind.coherence)
    ]
    unjudged = own.random() < 0.02
    asked = kind.instruction.replace("{query}", query) if kind.instruction else ""
    text = " ".join(own.choice(_WORDS.split(), size=int(own.integers(30, 120))))
    return Record(
        key=content_key("sample", of=[kind.method, kind.strength], query=query, item=item),
        model="tiny",
        method=kind.method,
        strength=kind.strength,
        dose=kind.dose,
        query=query,
        item=item,
        subject=SUBJECTS[number % len(SUBJECTS)],
        epoch=0,
        system_prompt=f"Put your answer in <answer> tags.\n\n{asked}".strip(),
        prompt=f"Question {number}: a traveller turns {number + 1} times to the right. Which way now?\n\n"
        + "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True)),
        response=f"<thinking>{text}</thinking>\n<answer>{answer or '?'}</answer>" + (HOSTILE if hostile else ""),
        finish_reason="stop",
        prompt_tokens=80,
        completion_tokens=120,
        error=None,
        gold=gold,
        answer=answer,
        unparsed="no option is named" if unparsed else None,
        correct=answer == gold,
        loglik_answer=gold if right else "west",
        loglik_correct=bool(right),
        option_logprobs=(-1.0, -2.0 - float(own.beta(1, 20)), -3.0 - float(own.beta(20, 2)), -4.0),
        judge="proxy",
        behaviour=None if unjudged else scores[0],
        behaviour_missing="the judge gave no number" if unjudged else None,
        coherence=None if unjudged else scores[1],
        coherence_missing="the judge gave no number" if unjudged else None,
        analysis="likelihood ratio 0.12 nats a token" + (HOSTILE if hostile else ""),
        perplexity=float(np.exp(own.normal(2, 0.3))),
        perplexity_missing=None,
        edits=() if kind.dose is None else (f"{query} @ block 12, norm {141 * kind.dose:.4g}",),
    )


_WORDS = (
    "the traveller turns slowly because a compass points north and so we think about which direction remains when "
    "every turn to the right moves a quarter of the way around therefore perhaps however it is clear that after four "
    "of them nothing has changed"
)
