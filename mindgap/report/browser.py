"""Packs a sweep's samples for the page, in which they are looked at side by side: every text once, compressed."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mindgap.core.columns import at, value_of
from mindgap.core.estimate import finite
from mindgap.core.keys import content_key
from mindgap.core.records import Record
from mindgap.results.cards import Place, place_of, places_of
from mindgap.results.cell import CellResult
from mindgap.results.sweep import SweepResults, strength_name

TEXTS = (
    "system_prompt",
    "prompt",
    "response",
    "finish_reason",
    "error",
    "gold",
    "answer",
    "unparsed",
    "loglik_answer",
    "behaviour_missing",
    "coherence_missing",
    "analysis",
    "thought",
    "turns",
)
NUMBERS = ("dose", "behaviour", "coherence")
FLAGS = ("correct", "loglik_correct")


@dataclass
class TextIndex:
    """Numbers for strings, each string kept once: prompts repeat under every cell.

    Attributes:
        numbers: Each string's number, from 0 in the order they came.
    """

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str | None) -> int | None:
        """The string's number, a new one where it is new; None for None."""
        return None if text is None else self.numbers.setdefault(text, len(self.numbers))


def payload(sweep: SweepResults, *, max_samples: int) -> dict[str, Any]:
    """What the page's script reads; JSON without NaN.

    Where the sweep has more than `max_samples` samples, some places are left out. A place is there under all its cells
    or not at all, and the choice is spread over the sweep and does not depend on scores.

    Returns:
        `texts`: strings, to which all other text columns are indexes. `cells`, `places`: what `samples.cell` and
        `samples.place` are indexes of. `samples`: equally long columns. `total`: how many places the sweep has.
        `measures`: what else was measured.
    """
    cells = [(group, cell) for group in sweep.groups for cell in group.cells if cell.records]
    by_cell = [places_of(cell.records) for _, cell in cells]
    places = list(dict.fromkeys(place for places in by_cell for place in places))
    chosen = _spread(places, sum(map(len, by_cell)), max_samples)
    kept = [
        (number, record)
        for number, (_, cell) in enumerate(cells)
        for record in at(cell.records, [row for row, place in enumerate(by_cell[number]) if place in chosen])
    ]
    texts = TextIndex()
    return {
        "cells": [
            {
                "name": group.name(cell),
                "model": cell.model,
                "judge": cell.judge,
                "reference": cell is group.reference,
                "recorded": _recorded(cell),
                "group": sweep.groups.index(group),
            }
            for group, cell in cells
        ],
        "places": _places(kept, chosen, texts),
        "total": len(places),
        "samples": _columns(kept, chosen, texts),
        "measures": _measured(sweep, kept),
        "texts": list(texts.numbers),
    }


def _recorded(cell: CellResult) -> str | None:
    """What a recording says of the steering of a cell; None for a cell that was run here, whose edits are known."""
    if not cell.imported:
        return None
    return "steering not recorded" if cell.strength == "none" else f"strength {strength_name(cell)}, as recorded"


def packed(data: dict[str, Any]) -> str:
    """`data` as JSON, gzipped, in base64: a tenth of the size, and nothing in it can end a script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), compresslevel=6, mtime=0)).decode()


def _spread(places: Sequence[Place], samples: int, most: int) -> dict[Place, int]:
    """Index of each place that is kept, in order."""
    if samples > most:
        count = max(1, len(places) * most // samples)
        by_chance = sorted(places, key=lambda place: content_key("spread", place=place))
        drawn = set(by_chance[:count])
        places = [place for place in places if place in drawn]
    return {place: number for number, place in enumerate(places)}


def _places(rows: Sequence[tuple[int, Record]], chosen: dict[Place, int], texts: TextIndex) -> list[dict[str, Any]]:
    subjects: dict[Place, str] = {}
    for _, record in rows:
        subjects.setdefault(place_of(record), record.subject)
    return [
        {
            "id": content_key("place", query=place[0], item=place[1], epoch=place[2])[:10],
            "query": texts.number(place[0]),
            "item": texts.number(place[1]),
            "epoch": place[2],
            "subject": texts.number(subjects[place]),
        }
        for place in chosen
    ]


def _columns(rows: Sequence[tuple[int, Record]], chosen: dict[Place, int], texts: TextIndex) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "cell": [number for number, _ in rows],
        "place": [chosen[place_of(record)] for _, record in rows],
        "edits": [[texts.number(edit) for edit in record.edits] for _, record in rows],
    }
    for name in TEXTS:
        columns[name] = [texts.number(getattr(record, name)) for _, record in rows]
    for name in NUMBERS:
        columns[name] = [_short(getattr(record, name)) for _, record in rows]
    for name in FLAGS:
        columns[name] = [None if (flag := getattr(record, name)) is None else int(flag) for _, record in rows]
    return columns


def _measured(sweep: SweepResults, rows: Sequence[tuple[int, Record]]) -> list[dict[str, Any]]:
    """Every measure that the other columns do not tell, with its value of each sample: `name`, `digits`, `values`."""
    measures = {measure.name: measure for cell in sweep.cells for measure in cell.measures}
    return [
        {
            "name": measure.name.replace("_", " "),
            "digits": measure.digits,
            "values": [_short(value_of(record, measure.name)) for _, record in rows],
        }
        for measure in measures.values()
        if measure.name not in NUMBERS and not measure.binary
    ]


def _short(value: float | None) -> float | None:
    value = finite(value)
    return None if value is None else float(f"{value:.4g}")
