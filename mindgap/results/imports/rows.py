"""Turns the rows of a recording into samples: joined by content, scores checked, nothing dropped without a word."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mindgap.core.errors import ConfigError
from mindgap.core.records import Answer, Item, Score
from mindgap.results.imports.columns import Arm, ColumnMap, plain_name
from mindgap.results.imports.items import ItemIndex, item_of
from mindgap.results.imports.table import RecordedTable
from mindgap.tasks.answers import read_choice, read_label

LOWEST, HIGHEST = 1, 5
NOT_RECORDED = "no score recorded"
NO_NUMBER = "is not a number"
OUT_OF_RANGE = f"is outside {LOWEST}-{HIGHEST}"
GOLD_NOT_AN_OPTION = "the recorded gold answer is no option of the item"
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
        number: Of the row in the file, from 1, without the header: for people, nothing is joined by it.
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
    """

    number: int
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
    """

    samples: tuple[RecordedSample, ...]
    duplicates: tuple[RecordedSample, ...]
    conflicts: tuple[RecordedSample, ...]
    unusable: tuple[tuple[int, str], ...]
    rows: int


def read_recording(table: RecordedTable, column_map: ColumnMap, index: ItemIndex | None = None) -> Recording:
    """The samples of a table.

    Args:
        table: The file's rows.
        column_map: How to read them.
        index: Items with known answers; None = no lookup.

    Raises:
        ConfigError: The map names a column that the table does not have, or an epoch is no number.
    """
    column_map.check(table.columns)
    columns = column_map.columns.named()
    unusable: list[tuple[int, str]] = []
    read: list[RecordedSample] = []
    for number, raw in enumerate(table.rows, 1):
        row = {ours: raw.get(theirs) for ours, theirs in columns.items()}
        lacking = [name for name in ("query", "method", "prompt") if not (row[name] or "").strip()]
        if lacking:
            unusable.append((number, f"no {' and no '.join(lacking)}"))
        else:
            read.append(_sample(number, row, column_map, index))
    return _recording(read, numbered=column_map.columns.epoch is not None, unusable=unusable, rows=len(table.rows))


def _recording(
    read: Sequence[RecordedSample], *, numbered: bool, unusable: Sequence[tuple[int, str]], rows: int
) -> Recording:
    """Tell repeats from duplicates. Without epoch numbers, an equal sample with another response is the next epoch."""
    samples: list[RecordedSample] = []
    duplicates: list[RecordedSample] = []
    conflicts: list[RecordedSample] = []
    seen: dict[tuple[CellKey, str, str], dict[int, str]] = {}
    for sample in read:
        epochs = seen.setdefault((sample.cell, *sample.pair), {})
        if not numbered:
            if sample.response in epochs.values():
                duplicates.append(sample)
                continue
            sample = replace(sample, epoch=len(epochs))
        elif sample.epoch in epochs:
            (duplicates if epochs[sample.epoch] == sample.response else conflicts).append(sample)
            continue
        epochs[sample.epoch] = sample.response
        samples.append(sample)
    return Recording(tuple(samples), tuple(duplicates), tuple(conflicts), tuple(unusable), rows)


def _sample(
    number: int, row: Mapping[str, str | None], column_map: ColumnMap, index: ItemIndex | None
) -> RecordedSample:
    recorded = (row["method"] or "").strip()
    arm = column_map.arm(recorded)
    known, arm = arm is not None, arm or Arm(plain_name(recorded), recorded)
    recorded_model = row.get("model")
    model = plain_name(recorded_model) if recorded_model else column_map.model
    response, prompt = row["response"] or "", row["prompt"] or ""
    strength = row.get("strength") or arm.strength
    title = [model if recorded_model else "", arm.title, strength if row.get("strength") else ""]
    item, gold_missing = _item(row, prompt, column_map, index)
    return RecordedSample(
        number=number,
        title=" ".join(part for part in title if part),
        cell=CellKey(model, arm.name, strength),
        arm=arm,
        known=known,
        query=(row["query"] or "").strip(),
        item=item,
        epoch=_epoch(row.get("epoch"), number),
        system_prompt=row.get("system_prompt") or "",
        prompt=prompt,
        response=response,
        behaviour=read_score(row.get("behaviour")),
        coherence=read_score(row.get("coherence")),
        behaviour_raw=row.get("behaviour"),
        coherence_raw=row.get("coherence"),
        analysis=row.get("analysis") or "",
        answer=_answer(row, item, response, column_map.answers),
        gold_missing=gold_missing,
    )


def read_score(text: str | None) -> Score:
    """A recorded score, or why it is not one: absent, no number, or outside 1 to 5. It is never moved into range."""
    if text is None or not text.strip():
        return Score(None, NOT_RECORDED)
    try:
        value = float(text)
    except ValueError:
        return Score(None, f"{text.strip()[:40]!r} {NO_NUMBER}")
    if math.isnan(value):
        return Score(None, NOT_RECORDED)
    if not LOWEST <= value <= HIGHEST:
        return Score(None, f"{value:g} {OUT_OF_RANGE}")
    return Score(value)


def _item(
    row: Mapping[str, str | None], prompt: str, column_map: ColumnMap, index: ItemIndex | None
) -> tuple[Item, str | None]:
    """The item, and why its gold answer is missing if it should have one."""
    item, missing = item_of(prompt, column_map.options), None
    if index is not None and item.options:
        known = index.find(item)
        item, missing = (known, None) if known else (item, GOLD_NOT_FOUND)
    if (gold := row.get("gold")) and item.options:
        choice = read_label(gold, item.options).choice
        item, missing = replace(item, gold=choice), None if choice is not None else GOLD_NOT_AN_OPTION
    if recorded_id := row.get("item"):
        item = replace(item, id=recorded_id)
    if subject := row.get("subject"):
        item = replace(item, subject=subject)
    return item, missing


def _answer(row: Mapping[str, str | None], item: Item, response: str, answers: str) -> Answer | None:
    if not item.options:
        return None
    return (
        read_label(row.get("answer") or "", item.options)
        if answers == "recorded"
        else read_choice(response, item.options)
    )


def _epoch(text: str | None, number: int) -> int:
    if text is None or not text.strip():
        return 0
    if not re.fullmatch(r"\s*\d{1,15}(?:\.0+)?\s*", text):
        raise ConfigError(f"row {number}: the epoch {text.strip()!r} is not a number from 0 on")
    return int(float(text))
