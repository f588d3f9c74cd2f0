"""What people rate: a sweep's responses, each with its query and question and no word on the cell it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mindgap.core.columns import facts
from mindgap.core.keys import content_key
from mindgap.core.records import JudgeRequest, Query, Record
from mindgap.results.cell import CellResult
from mindgap.results.sweep import SweepResults
from mindgap.tasks.queries import QuerySet

Place = tuple[str, str, int]
"""(query, item, epoch): what every cell has answered once."""


@dataclass(frozen=True)
class Card:
    """One response to be rated. Cells whose responses at a place are the same text share the card.

    Attributes:
        place: What was asked.
        shown: All that the person sees.
    """

    place: Place
    shown: JudgeRequest

    @cached_property
    def key(self) -> str:
        """Hash of all that is shown, so that a rating outlives a sweep that is judged anew or moved."""
        shown = self.shown
        return content_key(
            "rating", query=shown.query, rubric=shown.rubric, question=shown.question, response=shown.response
        )


@dataclass(frozen=True)
class Cards:
    """All responses of a sweep.

    Attributes:
        by_place: The cards of each place; none for responses without text.
        by_record: The card of each record, by the record's key.
    """

    by_place: Mapping[Place, tuple[Card, ...]]
    by_record: Mapping[str, Card]

    @property
    def samples(self) -> dict[str, list[str]]:
        """Keys of the records that each card stands for, by the card's key."""
        record_keys: dict[str, list[str]] = {}
        for record_key, card in self.by_record.items():
            record_keys.setdefault(card.key, []).append(record_key)
        return record_keys

    @property
    def size(self) -> float:
        """Mean number of responses at a place, before equal ones are merged."""
        return len(self.by_record) / len(self.by_place)


def cards_of(sweep: SweepResults) -> Cards:
    """The sweep's cards. The question is the first cell's at a place, so that it cannot tell cells apart."""
    questions: dict[Place, tuple[str, str]] = {}
    by_place: dict[Place, dict[str, Card]] = {}
    by_record: dict[str, Card] = {}
    for cell in sweep.pooled:
        rubrics = _rubrics(cell)
        for record in cell.records:
            if record.no_reply is not None:
                continue
            place = place_of(record)
            by_place.setdefault(place, {})
            if not record.response.strip():
                continue
            asked = f"{record.turns}\n\nUser: {record.prompt}" if record.turns else record.prompt
            rubric, question = questions.setdefault(place, (rubrics[record.query], asked))
            card = Card(place, JudgeRequest(record.query, rubric, question, record.response))
            by_record[record.key] = by_place[place].setdefault(card.key, card)
    return Cards({place: tuple(cards.values()) for place, cards in by_place.items()}, by_record)


def place_of(record: Record) -> Place:
    """Where the record stands: its query, item and epoch."""
    return record.query, record.item, record.epoch


def places_of(records: Sequence[Record]) -> list[Place]:
    """Where every record stands."""
    return list(zip(*(facts(records, name) for name in ("query", "item", "epoch")), strict=True))


def _rubrics(cell: CellResult) -> dict[str, str]:
    """Each query's rubric: that of the cell's own configuration, else mindgap's for a query of this text."""
    configured = {query.text: query.rubric for query in _queries(cell.config)}
    texts = dict.fromkeys(facts(cell.records, "query"))
    return {text: configured.get(text) or QuerySet("rated", [text]).queries[0].rubric for text in texts}


def _queries(config: Mapping[str, Any]) -> tuple[Query, ...]:
    entries = (config.get("query_set") or {}).get("queries")
    return QuerySet("rated", entries).queries if entries else ()
