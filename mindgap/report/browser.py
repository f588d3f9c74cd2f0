"""Samples for the page's browser: grouped by place, every text once, compressed."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mindgap.core.estimate import finite
from mindgap.core.keys import content_key
from mindgap.core.records import Record
from mindgap.measures.estimates import column
from mindgap.results.sweep import Sweep

Place = tuple[str, str, int]
"""(query, item, epoch): what is looked at side by side under all cells."""

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
)
NUMBERS = ("dose", "behaviour", "coherence")
FLAGS = ("correct", "loglik_correct")


@dataclass
class Texts:
    """Numbers for strings, each string kept once: prompts repeat under every cell."""

    known: dict[str, int] = field(default_factory=dict)

    def number(self, text: str | None) -> int | None:
        return None if text is None else self.known.setdefault(text, len(self.known))


def payload(sweep: Sweep, *, max_samples: int) -> dict[str, Any]:
    """What the page's script reads; JSON without NaN.

    texts: strings, to which all other text columns are indexes. cells, places: what `samples.cell` and
    `samples.place` are indexes of. samples: equally long columns. total: places of the sweep, of which `places` is
    a part where all together would be more than `max_samples` samples; a place is there under all its cells or not
    at all, and the choice is spread over the sweep and does not depend on scores. measures: what else was measured.
    """
    cells = [(group, cell) for group in sweep.groups for cell in group.cells if cell.records]
    rows = [(number, record) for number, (_, cell) in enumerate(cells) for record in cell.records]
    places = list(dict.fromkeys(_place(record) for _, record in rows))
    chosen = _spread(places, len(rows), max_samples)
    kept = [(number, record) for number, record in rows if _place(record) in chosen]
    texts = Texts()
    return {
        "cells": [
            {
                "name": group.name(cell),
                "model": cell.model,
                "judge": cell.judge,
                "reference": cell is group.reference,
                "group": sweep.groups.index(group),
            }
            for group, cell in cells
        ],
        "places": _places(kept, chosen, texts),
        "total": len(places),
        "samples": _columns(kept, chosen, texts),
        "measures": _measured(sweep, kept),
        "texts": list(texts.known),
    }


def packed(data: dict[str, Any]) -> str:
    """`data` as JSON, gzipped, in base64: a tenth of the size, and nothing in it can end a script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), compresslevel=6, mtime=0)).decode()


def _place(record: Record) -> Place:
    return record.query, record.item, record.epoch


def _spread(places: Sequence[Place], samples: int, most: int) -> dict[Place, int]:
    """Index of each place that is kept, in order."""
    if samples > most:
        count = max(1, len(places) * most // samples)
        by_chance = sorted(places, key=lambda place: content_key("spread", place=place))
        lucky = set(by_chance[:count])
        places = [place for place in places if place in lucky]
    return {place: number for number, place in enumerate(places)}


def _places(rows: Sequence[tuple[int, Record]], chosen: dict[Place, int], texts: Texts) -> list[dict[str, Any]]:
    subjects: dict[Place, str] = {}
    for _, record in rows:
        subjects.setdefault(_place(record), record.subject)
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


def _columns(rows: Sequence[tuple[int, Record]], chosen: dict[Place, int], texts: Texts) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "cell": [number for number, _ in rows],
        "place": [chosen[_place(record)] for _, record in rows],
        "edits": [[texts.number(edit) for edit in record.edits] for _, record in rows],
    }
    for name in TEXTS:
        columns[name] = [texts.number(getattr(record, name)) for _, record in rows]
    for name in NUMBERS:
        columns[name] = [_short(getattr(record, name)) for _, record in rows]
    for name in FLAGS:
        columns[name] = [None if (value := getattr(r, name)) is None else int(value) for _, r in rows]
    return columns


def _measured(sweep: Sweep, rows: Sequence[tuple[int, Record]]) -> list[dict[str, Any]]:
    """Every measure that the other columns do not tell, with its value of each sample: `name`, `digits`, `values`."""
    measures = {measure.name: measure for cell in sweep.cells for measure in cell.measures}
    return [
        {
            "name": measure.name.replace("_", " "),
            "digits": measure.digits,
            "values": [_short(column(record, measure.name)) for _, record in rows],
        }
        for measure in measures.values()
        if measure.name not in NUMBERS and not measure.binary
    ]


def _short(value: float | None) -> float | None:
    value = finite(value)
    return None if value is None else float(f"{value:.4g}")
