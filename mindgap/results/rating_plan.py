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
class Plan:
    """What was drawn.

    seed: of every order. overlap: share of a person's places that everybody rates. population: places of the sweep
    when it was drawn. drawn: places in the order of the draw. common: how many of them everybody rates, from the front.
    raters: each person's places, as indexes into `drawn`, in the order of rating.
    """

    seed: int
    overlap: float
    population: int
    drawn: tuple[Place, ...] = ()
    common: int | None = None
    raters: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def probability(self) -> float:
        """Of any place to have been drawn."""
        return len(self.drawn) / self.population

    def deck(self, rater: str, cards: Cards) -> list[Card]:
        """What a person rates, in order: blocks of whole places, shuffled by the seed and the person's name."""
        deck: list[Card] = []
        block: list[Card] = []
        for index in self.raters[rater]:
            block += cards.at.get(self.drawn[index], ())
            if len(block) >= BLOCK:
                deck += self._shuffled(block, rater)
                block = []
        return list({card.key: card for card in deck + self._shuffled(block, rater)}.values())

    def _shuffled(self, block: Sequence[Card], rater: str) -> list[Card]:
        return sorted(block, key=lambda card: content_key("order", seed=self.seed, rater=rater, card=card.key))


def order(places: Iterable[Place], seed: int) -> list[Place]:
    """All places, by chance and evenly over queries: each front piece has about the same share of every query.

    A place's position is (its rank by chance within the query + one draw a query) / places of the query: uniform on 0
    to 1 for every place (systematic sampling with a random start).
    """
    by_query: dict[str, list[Place]] = {}
    for place in places:
        by_query.setdefault(place[0], []).append(place)
    position: dict[Place, float] = {}
    for query, own in by_query.items():
        start = random.Random(content_key("start", seed=seed, query=query)).random()
        by_chance = sorted(own, key=lambda place: content_key("draw", seed=seed, place=place))
        position |= {place: (rank + start) / len(own) for rank, place in enumerate(by_chance)}
    return sorted(position, key=lambda place: (position[place], place))


def join(plan: Plan, rater: str, samples: int, cards: Cards) -> Plan:
    """`plan` with places for a person to rate about `samples` responses. What somebody has already stays theirs.

    The first to come fixes how many places are everybody's. Beyond those, people get places that nobody has, as long as
    there are any.
    """
    wanted = min(plan.population, max(1, round(samples / cards.size)))
    common = plan.common if plan.common is not None else round(plan.overlap * wanted)
    waiting = [place for place in order(cards.at, plan.seed) if place not in set(plan.drawn)]
    drawn = [*plan.drawn, *waiting[: max(0, common - len(plan.drawn))]]
    mine = set(plan.raters.get(rater, ())) | set(range(min(common, wanted, len(drawn))))
    fresh = waiting[len(drawn) - len(plan.drawn) :][: max(0, wanted - len(mine))]
    mine |= set(range(len(drawn), len(drawn) + len(fresh)))
    drawn += fresh
    others = [index for index in range(len(drawn)) if index not in mine]
    mine |= set(others[: max(0, wanted - len(mine))])
    mixed = tuple(_mixed(sorted(mine), common))
    return replace(plan, drawn=tuple(drawn), common=common, raters={**plan.raters, rater: mixed})


def _mixed(indexes: Sequence[int], common: int) -> list[int]:
    """Everybody's places spread evenly among a person's own, so that neither come when the person is tired."""
    parts = [[i for i in indexes if i < common], [i for i in indexes if i >= common]]
    position = {i: (rank + 0.5) / len(part) for part in parts for rank, i in enumerate(part)}
    return sorted(indexes, key=lambda i: (position[i], i))


def planned(
    folder: Path, rater: str, cards: Cards, *, samples: int, seed: int | None = None, overlap: float | None = None
) -> Plan:
    """The sweep's plan with a place in it for `rater`, written to the folder. seed, overlap: None keeps what is there.

    Raises ConfigError where seed or overlap differ from those of a plan that people already rate by.
    """
    with FileLock(folder / f".{PLAN}.lock"):
        plan = read_plan(folder)
        for name, given in (("seed", seed), ("overlap", overlap)):
            if plan is not None and given is not None and given != getattr(plan, name):
                raise ConfigError(
                    f"{name}={given}: people already rate this sweep with {name}={getattr(plan, name)}. Leave {name} "
                    f"out, or start over by moving {PLAN} and ratings.jsonl out of {folder}"
                )
        if plan is None:
            plan = Plan(seed or 0, 0.3 if overlap is None else overlap, len(cards.at))
        if plan.population != len(cards.at):
            raise MindgapError(
                f"{folder / PLAN}: places were drawn when the sweep had {plan.population} of them, and now it has "
                f"{len(cards.at)}. Move {PLAN} and ratings.jsonl elsewhere and start over, or put the cells back"
            )
        plan = join(plan, rater, samples, cards)
        with replacing(folder / PLAN) as path:
            path.write_text(json.dumps(_written(plan), indent=1, ensure_ascii=False), encoding="utf-8")
    return plan


def read_plan(folder: Path) -> Plan | None:
    """The sweep's plan, None where nobody has rated yet."""
    path = folder / PLAN
    if not path.is_file():
        return None
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del data["probability"]
    drawn = tuple((query, item, epoch) for query, item, epoch in data.pop("drawn"))
    raters = {name: tuple(indexes) for name, indexes in data.pop("raters").items()}
    return Plan(**data, drawn=drawn, raters=raters)


def _written(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan), "probability": plan.probability}
