"""Makes one judgement of several replies about one response."""

from __future__ import annotations

from collections.abc import Sequence

from mindgap.core.records import Judgement, Score


def voted(votes: Sequence[Judgement]) -> Judgement:
    """The mean of the votes that give a score; missing where half of them or fewer do."""
    behaviour = _mean([vote.behaviour for vote in votes])
    coherence = _mean([vote.coherence for vote in votes])
    said = "; ".join(f"{_shown(vote.behaviour)} and {_shown(vote.coherence)}" for vote in votes)
    analysis = f"{votes[0].analysis} [votes for behaviour and coherence: {said}]"
    return Judgement(behaviour, coherence, analysis, total(votes))


def joined(parts: Sequence[Judgement], cost_usd: float | None = None) -> Judgement:
    """The judgement of one request for both scores, or of one for each.

    Args:
        parts: Behaviour is taken from the first, coherence from the last.
        cost_usd: What all cost together; None = the sum of the parts.
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return first
    analysis = f"Behaviour: {first.analysis}\nCoherence: {last.analysis}" if first.analysis or last.analysis else ""
    cost = total(parts) if cost_usd is None else cost_usd
    return Judgement(first.behaviour, last.coherence, analysis, cost, first.transient or last.transient)


def total(parts: Sequence[Judgement]) -> float | None:
    """What all cost together, in US dollars; None where one is unknown."""
    costs = [part.cost_usd for part in parts]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def _mean(scores: Sequence[Score]) -> Score:
    values = [score.value for score in scores if score.value is not None]
    if 2 * len(values) > len(scores):
        return Score(sum(values) / len(values))
    why = next(score.missing for score in scores if score.missing is not None)
    return Score(None, f"only {len(values)} of {len(scores)} votes gave a score: {why}")


def _shown(score: Score) -> str:
    return "none" if score.value is None else f"{score.value:g}"
