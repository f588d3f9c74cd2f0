"""Turns the rows of a recording into samples: joined by content, scores checked, nothing dropped without a word."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mindgap.core.characters import has_half_characters
from mindgap.core.errors import ConfigError
from mindgap.core.keys import content_key
from mindgap.core.records import Answer, Item
from mindgap.results.imports.columns import Arm, ColumnMap
from mindgap.results.imports.items import ItemIndex, item_of
from mindgap.results.imports.names import plain_names
from mindgap.results.imports.rows import (
    GOLD_NOT_AN_OPTION,
    GOLD_NOT_FOUND,
    GOLD_UNCLEAR,
    CellKey,
    RecordedSample,
    Recording,
)
from mindgap.results.imports.scales import METRICS, as_number, check_scales, read_score
from mindgap.results.imports.shape import Row, shaped
from mindgap.results.imports.table import RecordedTable
from mindgap.results.imports.values import is_absent, numbers_of, options_of, prompt_of, response_of, text_of
from mindgap.tasks.answers import read_choice, read_label


def read_recording(
    table: RecordedTable, column_map: ColumnMap, index: ItemIndex | None = None, *, scored: bool = True
) -> Recording:
    """The samples of a table.

    Args:
        table: The file's rows.
        column_map: How to read them.
        index: Items with known answers; None = no lookup.
        scored: Whether the recorded scores are used.

    Raises:
        ConfigError: The map names a column that the table does not have, an epoch is no number, a value cannot be told,
            all rows of a method lack a query, or scores seem to be on another scale than the map says.
    """
    rows = list(shaped(table, column_map))
    reader = _Reader(column_map, index, rows)
    unusable: list[tuple[int, str]] = []
    read: list[RecordedSample] = []
    everywhere: list[Row] = []
    for row in rows:
        lacking = [name for name in ("query", "method", "prompt") if not reader.has(row, name)]
        if lacking == ["query"] and column_map.no_query == "every":
            everywhere.append(row)
        elif lacking:
            unusable.append((row.origin.number, f"no {' and no '.join(lacking)}"))
        else:
            read.append(reader.sample(row, len(read)))
    queries = tuple(dict.fromkeys(sample.query for sample in read))
    for row in everywhere:
        if not queries:
            raise ConfigError(
                "no row of the recording names a query, so there is none that the others could count under"
            )
        read += [reader.sample(row, len(read) + place, query) for place, query in enumerate(queries)]
    if column_map.no_query is None:
        _refuse_lost_methods(reader, rows, {sample.title for sample in read})
    scores = {metric: [row.values[metric] for row in rows if metric in row.values] for metric in METRICS}
    used = tuple(metric for metric, values in scores.items() if values)
    if scored:
        check_scales({metric: scores[metric] for metric in used}, column_map.scale is not None)
    numbered = any("epoch" in row.values for row in rows)
    repeats = column_map.repeats == "epochs" or (column_map.repeats is None and _are_repeats(read))
    recording = _recording(read, numbered=numbered, repeats=repeats, unusable=unusable, rows=len(table.rows))
    return replace(recording, scored=used, shared=len(everywhere))


def _refuse_lost_methods(reader: _Reader, rows: Iterable[Row], kept: set[str]) -> None:
    """Refuse a recording of which a whole method would vanish because none of its rows names a query."""
    lost = Counter(
        reader.title(row)
        for row in rows
        if reader.has(row, "method") and reader.has(row, "prompt") and not reader.has(row, "query")
    )
    for title, count in lost.items():
        if title not in kept and kept:
            raise ConfigError(
                f"none of the {count} rows of {title} names a query, so all of it would be left out: "
                "map.no_query=every counts them under each query of the recording; map.no_query=leave leaves them out"
            )


def _are_repeats(read: Sequence[RecordedSample]) -> bool:
    """Whether rows of one sample are repeats of it: as many for each sample, and not each of them written twice."""
    groups: dict[tuple[CellKey, str, str], Counter[str]] = {}
    for sample in read:
        groups.setdefault((sample.cell, *sample.pair), Counter())[sample.whole] += 1
    sizes = {group.total() for group in groups.values()}
    return len(sizes) == 1 and sizes != {1} and math.gcd(*(n for group in groups.values() for n in group.values())) == 1


def _recording(
    read: Sequence[RecordedSample],
    *,
    numbered: bool,
    repeats: bool,
    unusable: Sequence[tuple[int, str]],
    rows: int,
) -> Recording:
    """Tell repeats from duplicates. Without epoch numbers, a row that differs in anything is the next epoch."""
    samples: list[RecordedSample] = []
    duplicates: list[RecordedSample] = []
    conflicts: list[RecordedSample] = []
    seen: dict[tuple[CellKey, str, str], dict[int, str]] = {}
    for sample in read:
        epochs = seen.setdefault((sample.cell, *sample.pair), {})
        if not numbered:
            if not repeats and sample.whole in epochs.values():
                duplicates.append(sample)
                continue
            sample = replace(sample, epoch=len(epochs))
        elif sample.epoch in epochs:
            (duplicates if epochs[sample.epoch] == sample.whole else conflicts).append(sample)
            continue
        epochs[sample.epoch] = sample.whole
        samples.append(sample)
    repeated = repeats and not numbered
    return Recording(tuple(samples), tuple(duplicates), tuple(conflicts), tuple(unusable), rows, repeats=repeated)


@dataclass(frozen=True)
class _Reader:
    """Makes samples of rows.

    Attributes:
        column_map: How to read them.
        index: Items with known answers; None = no lookup.
        rows: All of them: names are told apart within a recording.
    """

    column_map: ColumnMap
    index: ItemIndex | None
    rows: Sequence[Row]

    @cached_property
    def _methods(self) -> dict[str, str]:
        return plain_names(dict.fromkeys(self.method(row) for row in self.rows if self.has(row, "method")))

    @cached_property
    def _models(self) -> dict[str, str]:
        return plain_names(dict.fromkeys(model for row in self.rows if (model := self.text(row, "model"))))

    @cached_property
    def _numbered_from_one(self) -> bool:
        epochs = {_epoch(self.text(row, "epoch"), row) for row in self.rows if "epoch" in row.values}
        return bool(epochs) and min(epochs) > 0

    def text(self, row: Row, field: str) -> str | None:
        """A field's text; None where nothing says it."""
        return text_of(row.values.get(field), row.where(field))

    def has(self, row: Row, field: str) -> bool:
        """Whether anything but space stands in a field."""
        value = row.values.get(field)
        return not is_absent(value) and bool(str(value).strip()) and value not in ([], {})

    def method(self, row: Row) -> str:
        """The recording's name of the row's method."""
        return (self.text(row, "method") or "").strip()

    def title(self, row: Row) -> str:
        """What people call the row's cell."""
        return self._cell(row)[2]

    def _cell(self, row: Row) -> tuple[CellKey, Arm, str, bool]:
        recorded = self.method(row)
        plain = self._methods[recorded]
        arm = self.column_map.arm(recorded, plain)
        known, arm = arm is not None, arm or Arm(plain, recorded)
        model = self.text(row, "model")
        strength = self.text(row, "strength")
        label = arm.strength if strength is None or not strength.strip() else strength_label(strength)
        parts = [model or "", arm.title, label if strength else ""]
        named = self._models[model] if model else self.column_map.model
        return CellKey(named, arm.name, label), arm, " ".join(part for part in parts if part), known

    def sample(self, row: Row, place: int, query: str | None = None) -> RecordedSample:
        """The sample of a row; under `query` where the row names none."""
        cell, arm, title, known = self._cell(row)
        system, prompt = prompt_of(row.values.get("prompt"), row.where("prompt"))
        response = response_of(row.values.get("response"), row.where("response"))
        item, gold_missing = self._item(row, prompt)
        scales = self.column_map.scales
        epoch = _epoch(self.text(row, "epoch"), row) - self._numbered_from_one
        replied = self.has(row, "response") or "loglik" not in row.values
        loglik = numbers_of(row.values.get("loglik"), row.where("loglik")) if item.options else ()
        if loglik and len(loglik) != len(item.options):
            raise ConfigError(f"{row.where('loglik')}: {len(loglik)} log-probabilities of {len(item.options)} options")
        return RecordedSample(
            place=place,
            number=row.origin.number,
            file=row.origin.file,
            title=title,
            cell=cell,
            arm=arm,
            known=known,
            query=query or (self.text(row, "query") or "").strip(),
            item=item,
            epoch=max(epoch, 0),
            system_prompt=self.text(row, "system_prompt") or system,
            prompt=prompt,
            response=response,
            behaviour=read_score(row.values.get("behaviour"), scales["behaviour"]),
            coherence=read_score(row.values.get("coherence"), scales["coherence"]),
            behaviour_raw=self.text(row, "behaviour"),
            coherence_raw=self.text(row, "coherence"),
            analysis=self.text(row, "analysis") or "",
            answer=self._answer(row, item, response, replied=replied),
            gold_missing=gold_missing,
            replied=replied,
            loglik=loglik,
            mended=any(has_half_characters(value) for value in row.values.values() if isinstance(value, str)),
            whole=content_key("recorded row", said=json.dumps(dict(row.values), sort_keys=True, default=str)),
        )

    def _item(self, row: Row, prompt: str) -> tuple[Item, str | None]:
        """The item, and why its gold answer is missing if it should have one."""
        item, missing = item_of(prompt, self.column_map.options), None
        if own := options_of(row.values.get("options"), row.where("options")):
            item = replace(item, options=own)
        if self.index is not None and item.options:
            known = self.index.find(item)
            item, missing = (known, None) if known else (item, GOLD_NOT_FOUND)
        if (gold := self.text(row, "gold")) and item.options:
            choice, missing = self._choice(gold, item.options)
            item = replace(item, gold=choice)
        if recorded_id := self.text(row, "item"):
            item = replace(item, id=recorded_id)
        if subject := self.text(row, "subject"):
            item = replace(item, subject=subject)
        return item, missing

    def _choice(self, recorded: str, options: Sequence[str]) -> tuple[int | None, str | None]:
        """Which option a recorded answer is, or why that cannot be told."""
        number = as_number(recorded)
        meant = self.column_map.gold_is
        if meant in ("index", "number"):
            place = None if number is None or number != number // 1 else int(number) - (meant == "number")
            good = place is not None and 0 <= place < len(options)
            return (place, None) if good else (None, GOLD_NOT_AN_OPTION)
        choice = read_label(recorded, options).choice
        if meant is None and number is not None and number == number // 1 and 0 <= number <= len(options):
            return None, GOLD_UNCLEAR
        return choice, None if choice is not None else GOLD_NOT_AN_OPTION

    def _answer(self, row: Row, item: Item, response: str, *, replied: bool) -> Answer | None:
        if not item.options:
            return None
        if self.column_map.answers == "recorded":
            recorded = self.text(row, "answer") or ""
            choice, missing = self._choice(recorded, item.options) if recorded else (None, None)
            return (
                read_label(recorded, item.options)
                if choice is None and missing != GOLD_UNCLEAR
                else (Answer(choice) if choice is not None else Answer(None, missing))
            )
        return read_choice(response, item.options) if replied else None


def strength_label(recorded: str) -> str:
    """A strength as it is labelled here: numbers that are equal alike (`1`, `1.0`), others as they are."""
    number = as_number(recorded)
    if number is None or not math.isfinite(number) or recorded.strip().lower() in ("true", "false"):
        return recorded.strip()
    return repr(number).removesuffix(".0") if number else "0"


def _epoch(text: str | None, row: Row) -> int:
    if text is None or not text.strip():
        return 0
    if not re.fullmatch(r"\s*\d{1,15}(?:\.0+)?\s*", text):
        where = row.where("epoch").partition(":")[0]
        raise ConfigError(f"{where}: the epoch {text.strip()!r} is not a number from 0 on")
    return int(float(text))
