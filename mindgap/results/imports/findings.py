"""Finds what is wrong with a recording: counted, with examples, and said before any number is shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from mindgap.core.records import Score
from mindgap.results.imports.rows import (
    GOLD_NOT_FOUND,
    NO_NUMBER,
    NOT_RECORDED,
    OUT_OF_RANGE,
    CellKey,
    RecordedSample,
    Recording,
)

Severity = Literal["problem", "note"]
MOST_EXAMPLES = 3
_SHOWN = 160


@dataclass(frozen=True)
class Finding:
    """One thing about a recording that a reader must know.

    Attributes:
        kind: Short name, one of those in docs/replay.md.
        severity: `problem` = numbers that rest on these samples do not mean what they seem to; `note` = worth knowing.
        method: The recording's label of it; None = all.
        count: Samples concerned.
        of: Samples that could have been.
        says: What it is and what was done about it, one sentence or two.
        examples: Some of them, with the number of the row in the file, from 1.
    """

    kind: str
    severity: Severity
    method: str | None
    count: int
    of: int
    says: str
    examples: tuple[dict[str, Any], ...] = ()


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
        *_contaminated(samples),
        *_not_asked(samples),
        *(_scores(samples) if scored else ()),
        *_repeats(recording),
        *_absent(samples),
        *_unparsed(samples),
        *_empty(samples),
        *_gold(samples),
        *_replaced_prompts(samples),
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
    for title, of_method in _by_title(samples).items():
        if not of_method[0].known:
            says = (
                f"the column map does not know this method: kept as {of_method[0].arm.name}, its system prompts "
                "unchecked; name it under `methods:`"
            )
            yield _finding("unknown_method", "problem", title, of_method, len(of_method), says)


def _contaminated(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    """Samples of a method that asks for nothing in words, whose system prompt asks all the same."""
    owners = _instructions(samples)
    for title, of_method in _by_title(samples).items():
        if of_method[0].arm.asks is not False:
            continue
        bad = [s for s in of_method if owners[s.query, s.system_prompt.strip()] or _names(s.system_prompt, s.query)]
        if bad:
            whose = Counter(owner for s in bad for owner in owners[s.query, s.system_prompt.strip()])
            theirs = f"those of {' and '.join(whose)}" if whose else "asking for the behaviour"
            says = (
                f"contaminated: the system prompts are {theirs}, though this method is to ask for nothing in words. "
                "What it is said to measure cannot be told from the instruction's effect; kept as recorded"
            )
            yield _finding("contaminated", "problem", title, bad, len(of_method), says, _system)


def _not_asked(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    owners = _instructions(samples)
    for title, of_method in _by_title(samples).items():
        if of_method[0].arm.asks and any(s.system_prompt for s in samples):
            bad = [s for s in of_method if title not in owners[s.query, s.system_prompt.strip()]]
            if bad:
                says = "the system prompt does not ask for the behaviour, as this method is meant to; kept as recorded"
                yield _finding("not_asked", "problem", title, bad, len(of_method), says, _system)


def _scores(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    kinds = (
        ("score_out_of_range", OUT_OF_RANGE, "scores outside 1-5: missing, with that reason, not moved into range"),
        ("score_not_a_number", NO_NUMBER, "scores that are no numbers: missing, with that reason"),
        ("score_absent", NOT_RECORDED, "scores were not recorded: missing"),
    )
    for kind, reason, says in kinds:
        for title, of_method in _by_title(samples).items():
            for metric in ("behaviour", "coherence"):
                if bad := [s for s in of_method if reason in (_score(s, metric).missing or "")]:
                    said = f"{metric} {says}{_values(bad, metric)}{_shift(of_method, metric, kind)}"
                    yield _finding(kind, "problem", title, bad, len(of_method), said, partial(_shown_score, metric))


def _values(bad: Sequence[RecordedSample], metric: str) -> str:
    values = Counter(raw.strip() for s in bad if (raw := _raw(s, metric)) and raw.strip())
    return f" ({', '.join(f'{n} × {value!r}' for value, n in values.most_common(3))})" if values else ""


def _shift(of_method: Sequence[RecordedSample], metric: str, kind: str) -> str:
    """What leaving out-of-range scores out does to the mean, so that nobody takes the rise for a result."""
    kept = [value for s in of_method if (value := _score(s, metric).value) is not None]
    if kind != "score_out_of_range" or not kept:
        return ""
    left_out = [float(str(_raw(s, metric))) for s in of_method if OUT_OF_RANGE in (_score(s, metric).missing or "")]
    before = (sum(kept) + sum(left_out)) / (len(kept) + len(left_out))
    return f"; the mean was {before:.3f} with them and is {sum(kept) / len(kept):.3f} without"


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
        for title, bad in _by_title(rows).items():
            all_of_it = sum(s.title == title for s in (*recording.samples, *rows))
            yield _finding(kind, "problem", title, bad, all_of_it, says)
    for title, of_method in _by_title(recording.samples).items():
        repeated = [s for s in of_method if s.epoch > 0]
        pairs = len({(s.cell, *s.pair) for s in of_method})
        if repeated and len(of_method) != pairs * (1 + max(s.epoch for s in repeated)):
            says = "samples repeat a query and item that others of this method do not: taken as further epochs"
            yield _finding("uneven_epochs", "note", title, repeated, len(of_method), says)


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
            {"query": s.query, "item": s.item.id, "prompt": s.prompt[:_SHOWN]} for s in lacking[:MOST_EXAMPLES]
        )
        total = len(lacking) + have[cell]
        yield Finding("missing_sample", "problem", titles[cell], len(lacking), total, says, examples)


def _unparsed(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    for title, of_method in _by_title(samples).items():
        asked = [s for s in of_method if s.answer is not None]
        bad = [s for s in asked if s.answer is not None and s.answer.unparsed is not None]
        if bad:
            reasons = Counter(s.answer.unparsed for s in bad if s.answer)
            which = ", ".join(f"{n} × {reason}" for reason, n in reasons.most_common())
            share = f"{len(bad) / len(asked):.1%}".replace("%", " %")
            says = f"answers cannot be read, {share} ({which}): not correct, and reported as a share of their own"
            yield _finding("unparsed", "problem", title, bad, len(asked), says, lambda s: {"end": s.response[-_SHOWN:]})


def _empty(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    for title, of_method in _by_title(samples).items():
        if bad := [s for s in of_method if not s.response.strip()]:
            scored = sum(s.behaviour.value is not None or s.coherence.value is not None for s in bad)
            says = f"responses are empty; {scored} of them have scores all the same, kept as recorded"
            yield _finding("empty_response", "problem", title, bad, len(of_method), says)


def _gold(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    for reason in sorted({s.gold_missing for s in samples if s.gold_missing}):
        bad = [s for s in samples if s.gold_missing == reason]
        items = len({s.item.id for s in bad})
        severity: Severity = "note" if reason == GOLD_NOT_FOUND else "problem"
        says = f"{reason} ({items} items): these have no say in accuracy"
        asked = sum(s.answer is not None for s in samples)
        yield _finding("no_gold", severity, None, bad, asked, says, lambda s: {"question": s.item.question[:_SHOWN]})


def _replaced_prompts(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    """Methods that ask, whose system prompt lacks what the methods that do not ask are told."""
    plain = Counter(
        s.system_prompt.strip() for s in samples if s.arm.asks is False and not _names(s.system_prompt, s.query)
    )
    if not plain or not (usual := plain.most_common(1)[0][0]):
        return
    for title, of_method in _by_title(samples).items():
        bad = [s for s in of_method if s.arm.asks and usual not in s.system_prompt]
        if bad:
            says = (
                f"the instruction replaces the others' system prompt ({usual[:60]!r}…) and is not added to it: "
                "that, too, makes a difference"
            )
            yield _finding("replaced_system_prompt", "note", title, bad, len(of_method), says, _system)


def _unsteered(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    """Steered responses that are word for word the unsteered ones under the same prompts: was the steering applied?"""
    plain = {
        (s.cell.model, *s.pair, s.system_prompt, s.response)
        for s in samples
        if s.cell.strength == "none" and s.response.strip()
    }
    for title, of_method in _by_title(samples).items():
        steered = [s for s in of_method if s.cell.strength != "none"]
        bad = [s for s in steered if (s.cell.model, *s.pair, s.system_prompt, s.response) in plain]
        if bad:
            says = (
                "steered responses are word for word those without steering, for the same query, item and system prompt"
            )
            yield _finding(
                "same_as_unsteered",
                "note",
                title,
                bad,
                len(of_method),
                says,
                lambda s: {"response": s.response[:_SHOWN]},
            )


def _by_title(samples: Sequence[RecordedSample]) -> dict[str, list[RecordedSample]]:
    """The samples of each cell by its title, in order of appearance."""
    cells: dict[str, list[RecordedSample]] = {}
    for sample in samples:
        cells.setdefault(sample.title, []).append(sample)
    return cells


def _instructions(samples: Sequence[RecordedSample]) -> dict[tuple[str, str], list[str]]:
    """Titles of the asking methods by (query, system prompt), for prompts that do ask for that query.

    A prompt asks for a query if it names it, or if it is used for this query and no other.
    """
    uses: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in samples:
        uses[sample.title, sample.system_prompt.strip()].add(sample.query)
    several = len({sample.query for sample in samples}) > 1
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for sample in samples:
        prompt = sample.system_prompt.strip()
        own = several and len(uses[sample.title, prompt]) == 1
        titles = owners[sample.query, prompt]
        if sample.arm.asks and prompt and (own or _names(prompt, sample.query)) and sample.title not in titles:
            titles.append(sample.title)
    return owners


def _names(system_prompt: str, query: str) -> bool:
    return " ".join(query.split()).casefold() in " ".join(system_prompt.split()).casefold()


def _score(sample: RecordedSample, metric: str) -> Score:
    return sample.behaviour if metric == "behaviour" else sample.coherence


def _raw(sample: RecordedSample, metric: str) -> str | None:
    return sample.behaviour_raw if metric == "behaviour" else sample.coherence_raw


def _system(sample: RecordedSample) -> dict[str, Any]:
    return {"system_prompt": sample.system_prompt[:_SHOWN]}


def _finding(
    kind: str,
    severity: Severity,
    method: str | None,
    bad: Sequence[RecordedSample],
    of: int,
    says: str,
    more: Callable[[RecordedSample], dict[str, Any]] = lambda sample: {"prompt": sample.prompt[:_SHOWN]},
) -> Finding:
    examples = tuple({"row": s.number, "query": s.query, "item": s.item.id, **more(s)} for s in bad[:MOST_EXAMPLES])
    return Finding(kind, severity, method, len(bad), of, says, examples)
