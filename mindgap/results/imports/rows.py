"""What an imported recording is: samples, each in its cell, and rows that count for nothing."""

from __future__ import annotations

from dataclasses import dataclass

from mindgap.core.records import Answer, Item, Score
from mindgap.results.imports.columns import Arm
from mindgap.results.imports.scales import METRICS, as_number

UNSTEERED = "none"
"""Label of the strength of what is not steered."""
GOLD_NOT_AN_OPTION = "the recorded gold answer is no option of the item"
GOLD_UNCLEAR = (
    "the recorded gold answer is a number, which may be an option's text or its place: say map.gold_is=index (from 0), "
    "number (from 1) or text"
)
GOLD_NOT_FOUND = "the question was not found among those with known answers"


@dataclass(frozen=True)
class CellKey:
    """What a cell of the recording is.

    Attributes:
        model: Short name.
        method: As it is called here.
        strength: Its label.
    """

    model: str
    method: str
    strength: str


@dataclass(frozen=True)
class RecordedSample:
    """One row of a recording.

    Attributes:
        place: Unique in the recording, in order of appearance.
        number: Of the row in the file, from 1, without the header: for people, nothing is joined by it.
        file: The row's file, where the recording is a folder; empty where it is one file.
        title: Of its cell, for people.
        cell: The cell it belongs to.
        arm: The method.
        known: Whether the map names the method.
        query: What behaviour was asked for.
        item: The question.
        epoch: Number of the repeat, from 0.
        system_prompt: As sent.
        prompt: The user's message.
        response: The reply.
        behaviour: The recorded score, or why it is none.
        coherence: Likewise.
        behaviour_raw: The score as recorded.
        coherence_raw: Likewise.
        analysis: The judge's own words.
        answer: What the reply settles on; None for open-ended items.
        gold_missing: Why an item with options has no gold answer where it should.
        replied: Whether the recording has replies at all; log-probabilities may be all there is.
        loglik: Log-probabilities of the options, in their order; empty = not recorded.
        mended: Whether half characters were replaced in any of its texts.
        whole: Hash of all that the map reads of its row: equal rows are equal in response, scores and the rest.
    """

    place: int
    number: int
    file: str
    title: str
    cell: CellKey
    arm: Arm
    known: bool
    query: str
    item: Item
    epoch: int
    system_prompt: str
    prompt: str
    response: str
    behaviour: Score
    coherence: Score
    behaviour_raw: str | None
    coherence_raw: str | None
    analysis: str
    answer: Answer | None
    gold_missing: str | None
    replied: bool = True
    loglik: tuple[float, ...] = ()
    mended: bool = False
    whole: str = ""

    @property
    def steered(self) -> bool:
        """Whether anything was done inside the model, as far as the recording says: strength 0 is nothing."""
        return self.cell.strength != UNSTEERED and as_number(self.cell.strength) != 0

    @property
    def pair(self) -> tuple[str, str]:
        """What it is compared on with other methods' samples."""
        return self.query, self.item.id


@dataclass(frozen=True)
class Recording:
    """All rows of a recording, sorted by what they count for.

    Attributes:
        samples: To be counted, in file order.
        duplicates: Rows that repeat a sample word for word, and are not counted.
        conflicts: Rows whose (cell, query, item, epoch) is that of an earlier row with another response; not counted
            either.
        unusable: Numbers of rows without a query, method or prompt, and why.
        rows: How many there are.
        scored: Metrics that the map has a column for.
        repeats: Whether equal rows were taken as epochs.
        shared: Rows without a query that count under every query.
    """

    samples: tuple[RecordedSample, ...]
    duplicates: tuple[RecordedSample, ...]
    conflicts: tuple[RecordedSample, ...]
    unusable: tuple[tuple[int, str], ...]
    rows: int
    scored: tuple[str, ...] = METRICS
    repeats: bool = False
    shared: int = 0
