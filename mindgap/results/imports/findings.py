"""Finds what is wrong with a recording: counted, with examples, and said before any number is shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from mindgap.core.records import Score
from mindgap.results.imports.finding import MOST_EXAMPLES, SHOWN, Finding, Severity, by_title, finding_of
from mindgap.results.imports.found_prompts import contaminated, not_asked, replaced_prompts
from mindgap.results.imports.rows import GOLD_NOT_FOUND, CellKey, RecordedSample, Recording
from mindgap.results.imports.scales import METRICS, NO_NUMBER, NOT_RECORDED, OUT_OF_RANGE, as_number


def look(recording: Recording, *, scored: bool = True) -> tuple[Finding, ...]:
    """Everything that is wrong, problems first.

    Args:
        recording: Its samples.
        scored: Whether the recorded scores are used.
    """
    samples = recording.samples
    findings = [
        *_unusable(recording),
        *_unknown_methods(samples),
        *contaminated(samples),
        *not_asked(samples),
        *(_scores(recording) if scored else ()),
        *_repeats(recording),
        *_absent(samples),
        *_unparsed(samples),
        *_empty(samples),
        *_mended(samples),
        *_gold(samples),
        *replaced_prompts(samples),
        *_unsteered(samples),
    ]
    return tuple(sorted(findings, key=lambda finding: finding.severity != "problem"))


def absent_pairs(samples: Sequence[RecordedSample]) -> dict[CellKey, list[RecordedSample]]:
    """For each cell, a sample of another cell of the model for each (query, item) that the cell itself lacks."""
    whole: dict[str, dict[tuple[str, str], RecordedSample]] = defaultdict(dict)
    have: dict[CellKey, set[tuple[str, str]]] = defaultdict(set)
    for sample in samples:
        whole[sample.cell.model].setdefault(sample.pair, sample)
        have[sample.cell].add(sample.pair)
    return {
        cell: [sample for pair, sample in whole[cell.model].items() if pair not in pairs]
        for cell, pairs in have.items()
    }


def _unusable(recording: Recording) -> Iterable[Finding]:
    if recording.unusable:
        examples = tuple({"row": number, "why": why} for number, why in recording.unusable[:MOST_EXAMPLES])
        says = "rows name no query, method or prompt: they belong to no sample and are left out"
        yield Finding("unusable_row", "problem", None, len(recording.unusable), recording.rows, says, examples)


def _unknown_methods(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    for title, of_method in by_title(samples).items():
        if not of_method[0].known:
            says = (
                f"the column map does not know this method: kept as {of_method[0].arm.name}, its system prompts "
                "unchecked; name it under `methods:`"
            )
            yield finding_of("unknown_method", "problem", title, of_method, len(of_method), says)


def _scores(recording: Recording) -> Iterable[Finding]:
    samples = recording.samples
    if lacking := [metric for metric in METRICS if metric not in recording.scored]:
        says = f"no column says {' or '.join(lacking)}: these are missing; judge=NAME scores the responses here"
        yield Finding("not_scored", "note", None, len(samples), len(samples), says)
    kinds = (
        (
            "score_out_of_range",
            OUT_OF_RANGE,
            "scores outside the scale: missing, with that reason, not moved into range",
        ),
        ("score_not_a_number", NO_NUMBER, "scores that are no numbers: missing, with that reason"),
        ("score_absent", NOT_RECORDED, "scores were not recorded: missing"),
    )
    for kind, reason, says in kinds:
        for title, of_method in by_title(samples).items():
            for metric in recording.scored:
                if bad := [s for s in of_method if reason in (_score(s, metric).missing or "")]:
                    said = f"{metric} {says}{_values(bad, metric)}{_shift(of_method, metric, kind)}"
                    yield finding_of(kind, "problem", title, bad, len(of_method), said, partial(_shown_score, metric))


def _values(bad: Sequence[RecordedSample], metric: str) -> str:
    values = Counter(raw.strip() for s in bad if (raw := _raw(s, metric)) and raw.strip())
    return f" ({', '.join(f'{n} × {value!r}' for value, n in values.most_common(3))})" if values else ""


def _shift(of_method: Sequence[RecordedSample], metric: str, kind: str) -> str:
    """What leaving out-of-range scores out does to the mean, so that nobody takes the rise for a result."""
    kept = [value for s in of_method if (value := _score(s, metric).value) is not None]
    if kind != "score_out_of_range" or not kept:
        return ""
    raw = [(_score(s, metric), as_number(_raw(s, metric))) for s in of_method]
    within = [number for score, number in raw if score.value is not None and number is not None]
    left_out = [number for score, number in raw if OUT_OF_RANGE in (score.missing or "") and number is not None]
    before = (sum(within) + sum(left_out)) / (len(within) + len(left_out))
    return f"; the mean was {before:.3f} with them and is {sum(within) / len(within):.3f} without"


def _shown_score(metric: str, sample: RecordedSample) -> dict[str, Any]:
    return {metric: _raw(sample, metric)}


def _repeats(recording: Recording) -> Iterable[Finding]:
    for kind, rows, says in (
        ("duplicate", recording.duplicates, "rows repeat a sample word for word: counted once"),
        (
            "conflict",
            recording.conflicts,
            "rows have the number of an earlier sample and another response: the first counts",
        ),
    ):
        for title, bad in by_title(rows).items():
            all_of_it = sum(s.title == title for s in (*recording.samples, *rows))
            yield finding_of(kind, "problem", title, bad, all_of_it, says)
    if recording.repeats:
        again = [s for s in recording.samples if s.epoch > 0]
        says = (
            "rows repeat a query and item, some word for word: each counts as an epoch, since all samples have as many"
        )
        yield finding_of("repeats", "note", None, again, len(recording.samples), says)
    if recording.shared:
        says = "rows name no query: they count under each query of the recording (map.no_query=every)"
        yield Finding("shared_rows", "note", None, recording.shared, recording.rows, says)
    for title, of_method in by_title(recording.samples).items():
        epochs: dict[tuple[str, str], set[int]] = defaultdict(set)
        for s in of_method:
            epochs[s.pair].add(s.epoch)
        repeated = [s for s in of_method if s.epoch > min(epochs[s.pair])]
        if len({frozenset(numbers) for numbers in epochs.values()}) > 1:
            says = "samples repeat a query and item that others of this method do not: taken as further epochs"
            yield finding_of("uneven_epochs", "note", title, repeated, len(of_method), says)


def _absent(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    titles = {sample.cell: sample.title for sample in samples}
    have = Counter(sample.cell for sample in samples)
    for cell, lacking in absent_pairs(samples).items():
        if not lacking:
            continue
        queries = {s.query for s in samples if s.cell == cell}
        gone = sorted({s.query for s in lacking} - queries)
        whole = f"; nothing at all for {', '.join(map(repr, gone))}" if gone else ""
        says = f"no row for a query and item that other methods have{whole}. Differences rest on what both have"
        examples = tuple(
            {"query": s.query, "item": s.item.id, "prompt": s.prompt[:SHOWN]} for s in lacking[:MOST_EXAMPLES]
        )
        total = len(lacking) + have[cell]
        yield Finding("missing_sample", "problem", titles[cell], len(lacking), total, says, examples)


def _unparsed(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    for title, of_method in by_title(samples).items():
        asked = [s for s in of_method if s.answer is not None]
        bad = [s for s in asked if s.answer is not None and s.answer.unparsed is not None]
        if bad:
            reasons = Counter(s.answer.unparsed for s in bad if s.answer)
            which = ", ".join(f"{n} × {reason}" for reason, n in reasons.most_common())
            share = f"{len(bad) / len(asked):.1%}".replace("%", " %")
            says = f"answers cannot be read, {share} ({which}): not correct, and reported as a share of their own"
            yield finding_of(
                "unparsed", "problem", title, bad, len(asked), says, lambda s: {"end": s.response[-SHOWN:]}
            )


def _empty(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    for title, of_method in by_title(samples).items():
        if bad := [s for s in of_method if s.replied and not s.response.strip()]:
            scored = sum(s.behaviour.value is not None or s.coherence.value is not None for s in bad)
            says = f"responses are empty; {scored} of them have scores all the same, kept as recorded"
            yield finding_of("empty_response", "problem", title, bad, len(of_method), says)


def _mended(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    if bad := [s for s in samples if s.mended]:
        says = (
            "texts hold half characters, as a broken stream leaves them: each is a replacement character (U+FFFD) here"
        )
        yield finding_of("half_characters", "note", None, bad, len(samples), says)


def _gold(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    for reason in sorted({s.gold_missing for s in samples if s.gold_missing}):
        bad = [s for s in samples if s.gold_missing == reason]
        items = len({s.item.id for s in bad})
        severity: Severity = "note" if reason == GOLD_NOT_FOUND else "problem"
        says = f"{reason} ({items} items): these have no say in accuracy"
        asked = sum(s.answer is not None for s in samples)
        yield finding_of("no_gold", severity, None, bad, asked, says, lambda s: {"question": s.item.question[:SHOWN]})


def _unsteered(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    """Steered responses that are word for word the unsteered ones under the same prompts: was the steering applied?"""
    plain = {
        (s.cell.model, *s.pair, s.system_prompt, s.response) for s in samples if not s.steered and s.response.strip()
    }
    for title, of_method in by_title(samples).items():
        steered = [s for s in of_method if s.steered]
        bad = [s for s in steered if (s.cell.model, *s.pair, s.system_prompt, s.response) in plain]
        if bad:
            says = (
                "steered responses are word for word those without steering, for the same query, item and system prompt"
            )
            yield finding_of(
                "same_as_unsteered",
                "note",
                title,
                bad,
                len(of_method),
                says,
                lambda s: {"response": s.response[:SHOWN]},
            )


def _score(sample: RecordedSample, metric: str) -> Score:
    return sample.behaviour if metric == "behaviour" else sample.coherence


def _raw(sample: RecordedSample, metric: str) -> str | None:
    return sample.behaviour_raw if metric == "behaviour" else sample.coherence_raw
