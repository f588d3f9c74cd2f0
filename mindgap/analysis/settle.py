"""What a study has left open, and how large a study would settle it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gain", "limit", "direct"]


@dataclass(frozen=True)
class Unsettled:
    """What is open, and what would settle it if the truth is what was measured.

    Attributes:
        kind: `gain`, whether any cell raises the behaviour; `limit`, whether the chosen cell keeps the limit; `direct`,
            whether words or steering bring more.
        cell: What people call the cell.
        other: What it is compared with.
        metric: In which measure.
        distance: What has to be found, in the measure's unit: from the reference, from the limit, between the two.
        queries: How many there are now.
        items: How many there are now.
        enough: Queries and items that would find it 4 times in 5; None where no design of a sensible size would.
        samples: That these add, in both cells together; None where no design would do.
        seconds: That these would take; None where unknown.
        usd: That these would cost, in US dollars; None where unknown.
    """

    kind: Kind
    cell: str
    other: str
    metric: str
    distance: float
    queries: int
    items: int
    enough: tuple[int, int] | None
    samples: int | None = None
    seconds: float | None = None
    usd: float | None = None
