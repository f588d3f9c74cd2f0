"""Which responses are rated, by whom and in which order: drawn by chance, with known probabilities, and written down.

Places (query, item, epoch) are drawn, and at a place the responses of all cells are rated: every cell gets equally many
ratings, and differences between cells are paired. Places are put in an order once, by chance and evenly over
queries; whatever has been rated is a piece from the front of that order, so every place is as likely to be in it as any
other.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from mindgap.core.errors import ConfigError, MindgapError
from mindgap.core.keys import content_key
from mindgap.results.cards import Card, Cards, Place
from mindgap.storage.atomic import replacing

PLAN = "ratings-plan.json"
BLOCK = 24
"""Cards that are shuffled among themselves, at least: enough to hide which belong to one question, and few enough that
a person who stops early leaves whole places behind."""


@dataclass(frozen=True)
class RatingPlan:
    """What was drawn.

    Attributes:
        seed: Of every order.
        overlap: Share of a person's places that everybody rates.
        population: How many places the sweep had when it was drawn.
        drawn: Places, in the order of the draw.
        common: How many of them everybody rates, from the front; None until somebody has come.
        raters: Each person's places, as indexes into `drawn`, in the order of rating.
    """

    seed: int
    overlap: float
    population: int
    drawn: tuple[Place, ...] = ()
    common: int | None = None
    raters: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def probability(self) -> float:
        """How likely any place was to be drawn."""
        return len(self.drawn) / self.population

    def deck(self, rater: str, cards: Cards) -> list[Card]:
        """What a person rates, in order: blocks of whole places, shuffled by the seed and the person's name."""
        deck: list[Card] = []
        block: list[Card] = []
        for index in self.raters[rater]:
            block += cards.by_place.get(self.drawn[index], ())
            if len(block) >= BLOCK:
                deck += self._shuffled(block, rater)
                block = []
        return list({card.key: card for card in deck + self._shuffled(block, rater)}.values())

    def _shuffled(self, block: Sequence[Card], rater: str) -> list[Card]:
        return sorted(block, key=lambda card: content_key("order", seed=self.seed, rater=rater, card=card.key))


def drawing_order(places: Iterable[Place], seed: int) -> list[Place]:
    """All places, by chance and evenly over queries: each front piece has about the same share of every query.

    A place's position is (its rank by chance within the query + one draw a query) / places of the query: uniform on 0
    to 1 for every place (systematic sampling with a random start).
    """
    by_query: dict[str, list[Place]] = {}
    for place in places:
        by_query.setdefault(place[0], []).append(place)
    position: dict[Place, float] = {}
    for query, places_of_query in by_query.items():
        start = random.Random(content_key("start", seed=seed, query=query)).random()
        by_chance = sorted(places_of_query, key=lambda place: content_key("draw", seed=seed, place=place))
        position |= {place: (rank + start) / len(by_chance) for rank, place in enumerate(by_chance)}
    return sorted(position, key=lambda place: (position[place], place))


def with_rater(plan: RatingPlan, rater: str, samples: int, cards: Cards) -> RatingPlan:
    """`plan` with places for a person to rate about `samples` responses. What somebody has already stays theirs.

    The first to come fixes how many places are everybody's. Beyond those, people get places that nobody has, as long as
    there are any.
    """
    wanted = min(plan.population, max(1, round(samples / cards.size)))
    common = plan.common if plan.common is not None else round(plan.overlap * wanted)
    already_drawn = set(plan.drawn)
    waiting = [place for place in drawing_order(cards.by_place, plan.seed) if place not in already_drawn]
    drawn = [*plan.drawn, *waiting[: max(0, common - len(plan.drawn))]]
    rated = set(plan.raters.get(rater, ())) | set(range(min(common, wanted, len(drawn))))
    fresh = waiting[len(drawn) - len(plan.drawn) :][: max(0, wanted - len(rated))]
    rated |= set(range(len(drawn), len(drawn) + len(fresh)))
    drawn += fresh
    others = [index for index in range(len(drawn)) if index not in rated]
    rated |= set(others[: max(0, wanted - len(rated))])
    mixed = tuple(_mixed(sorted(rated), common))
    return replace(plan, drawn=tuple(drawn), common=common, raters={**plan.raters, rater: mixed})


def _mixed(indexes: Sequence[int], common: int) -> list[int]:
    """Everybody's places spread evenly among a person's own, so that neither come when the person is tired."""
    everybodys = [index for index in indexes if index < common]
    own = [index for index in indexes if index >= common]
    position = {index: (rank + 0.5) / len(part) for part in (everybodys, own) for rank, index in enumerate(part)}
    return sorted(indexes, key=lambda index: (position[index], index))


def planned(
    folder: Path, rater: str, cards: Cards, *, samples: int, seed: int | None = None, overlap: float | None = None
) -> RatingPlan:
    """The sweep's plan with a part in it for `rater`, written to the folder.

    Args:
        folder: The sweep's.
        rater: Who is to rate.
        cards: The sweep's responses.
        samples: About how many of them the person rates.
        seed: Of the draw; None keeps what is there.
        overlap: Share of a person's places that everybody rates; None keeps what is there.

    Raises:
        ConfigError: seed or overlap differ from those of a plan that people already rate by.
        MindgapError: The sweep has more or fewer places now than when they were drawn.
    """
    with FileLock(folder / f".{PLAN}.lock"):
        plan = read_plan(folder)
        for name, wanted in (("seed", seed), ("overlap", overlap)):
            if plan is not None and wanted is not None and wanted != getattr(plan, name):
                raise ConfigError(
                    f"{name}={wanted}: people already rate this sweep with {name}={getattr(plan, name)}. Leave {name} "
                    f"out, or start over by moving {PLAN} and ratings.jsonl out of {folder}"
                )
        if plan is None:
            plan = RatingPlan(seed or 0, 0.3 if overlap is None else overlap, len(cards.by_place))
        if plan.population != len(cards.by_place):
            raise MindgapError(
                f"{folder / PLAN}: places were drawn when the sweep had {plan.population} of them, and now it has "
                f"{len(cards.by_place)}. Move {PLAN} and ratings.jsonl elsewhere and start over, or put the cells back"
            )
        plan = with_rater(plan, rater, samples, cards)
        with replacing(folder / PLAN) as path:
            path.write_text(json.dumps(_written(plan), indent=1, ensure_ascii=False), encoding="utf-8")
    return plan


def read_plan(folder: Path) -> RatingPlan | None:
    """The sweep's plan, None where nobody has rated yet."""
    path = folder / PLAN
    if not path.is_file():
        return None
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del data["probability"]
    drawn = tuple((query, item, epoch) for query, item, epoch in data.pop("drawn"))
    raters = {name: tuple(indexes) for name, indexes in data.pop("raters").items()}
    return RatingPlan(**data, drawn=drawn, raters=raters)


def _written(plan: RatingPlan) -> dict[str, Any]:
    return {**asdict(plan), "probability": plan.probability}
