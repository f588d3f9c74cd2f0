"""Finds system prompts that do not fit their method: an instruction where none is meant, or the other way round."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from mindgap.results.imports.finding import SHOWN, Finding, by_title, finding_of
from mindgap.results.imports.rows import RecordedSample


def contaminated(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    """Samples of a method that asks for nothing in words, whose system prompt asks all the same."""
    owners = _instructions(samples)
    for title, of_method in by_title(samples).items():
        if of_method[0].arm.asks is not False:
            continue
        own = _own_prompts(samples)
        named = [s for s in of_method if _names(s.system_prompt, s.query)]
        bad = [s for s in of_method if owners[s.query, s.system_prompt.strip()] or _asks(s, own)]
        if weak := [s for s in named if s not in bad]:
            says = "the system prompts contain the query as a word among others; whether they ask for it cannot be told"
            yield finding_of("query_in_prompt", "note", title, weak, len(of_method), says, _system)
        if bad:
            whose = Counter(owner for s in bad for owner in owners[s.query, s.system_prompt.strip()])
            theirs = f"those of {' and '.join(whose)}" if whose else "asking for the behaviour"
            says = (
                f"contaminated: the system prompts are {theirs}, though this method is to ask for nothing in words. "
                "What it is said to measure cannot be told from the instruction's effect; kept as recorded"
            )
            yield finding_of("contaminated", "problem", title, bad, len(of_method), says, _system)


def not_asked(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    owners = _instructions(samples)
    for title, of_method in by_title(samples).items():
        if of_method[0].arm.asks and any(s.system_prompt for s in samples):
            bad = [
                s
                for s in of_method
                if title not in owners[s.query, s.system_prompt.strip()] and not _names(s.system_prompt, s.query)
            ]
            if bad:
                says = "the system prompt does not ask for the behaviour, as this method is meant to; kept as recorded"
                yield finding_of("not_asked", "problem", title, bad, len(of_method), says, _system)


def replaced_prompts(samples: Sequence[RecordedSample]) -> Iterable[Finding]:
    """Methods that ask, whose system prompt lacks what the methods that do not ask are told."""
    plain = Counter(
        s.system_prompt.strip() for s in samples if s.arm.asks is False and not _names(s.system_prompt, s.query)
    )
    if not plain or not (usual := plain.most_common(1)[0][0]):
        return
    for title, of_method in by_title(samples).items():
        bad = [s for s in of_method if s.arm.asks and usual not in s.system_prompt]
        if bad:
            says = (
                f"the instruction replaces the others' system prompt ({usual[:60]!r}…) and is not added to it: "
                "that, too, makes a difference"
            )
            yield finding_of("replaced_system_prompt", "note", title, bad, len(of_method), says, _system)


def _instructions(samples: Sequence[RecordedSample]) -> dict[tuple[str, str], list[str]]:
    """Titles of the asking methods by (query, system prompt), for prompts that do ask for that query."""
    own = _own_prompts(samples)
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for sample in samples:
        prompt = sample.system_prompt.strip()
        titles = owners[sample.query, prompt]
        asks = sample.arm.asks and prompt and ((sample.title, prompt) in own or _asks(sample, own))
        if asks and sample.title not in titles:
            titles.append(sample.title)
    return owners


def _own_prompts(samples: Sequence[RecordedSample]) -> set[tuple[str, str]]:
    """Titles and system prompts that are used for one query and no other, where there are several."""
    uses: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in samples:
        uses[sample.title, sample.system_prompt.strip()].add(sample.query)
    several = len({sample.query for sample in samples}) > 1
    return {place for place, queries in uses.items() if several and len(queries) == 1}


def _asks(sample: RecordedSample, own: set[tuple[str, str]]) -> bool:
    """Whether a system prompt asks for the query. One word of it is too little, where all queries have that prompt."""
    words = len(sample.query.split())
    return _names(sample.system_prompt, sample.query) and (
        words > 1 or (sample.title, sample.system_prompt.strip()) in own
    )


def _names(system_prompt: str, query: str) -> bool:
    """Whether the query stands in a system prompt, as words of its own: "art" is not in "smart"."""
    asked = re.escape(" ".join(query.split()).casefold())
    return bool(re.search(rf"(?<!\w){asked}(?!\w)", " ".join(system_prompt.split()).casefold()))


def _system(sample: RecordedSample) -> dict[str, Any]:
    return {"system_prompt": sample.system_prompt[:SHOWN]}
