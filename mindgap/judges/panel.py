"""`judge=panel`: several judges as one."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.judges.base import Budgeted, Judge

PANEL_VERSION = 1
"""Part of every identity: raised when the same members' scores could give another score."""

_COMBINE: Mapping[str, Callable[[Sequence[float]], float]] = {"mean": statistics.fmean, "median": statistics.median}


@dataclass(frozen=True)
class PanelJudge:
    """Each member judges every response; the panel's score is the mean or median of theirs (conf/judge/panel.yaml).

    Attributes:
        members: The judges, as a list or by name.
        combine: How scores become one.
        least: Members that must give a score; with fewer it is missing.
    """

    members: Sequence[Judge] | Mapping[str, Judge]
    combine: Literal["mean", "median"] = "mean"
    least: int = 2

    def __post_init__(self) -> None:
        if len(self.judges) < 2:
            raise ConfigError(f"judge.members: a panel has at least 2 members, not {len(self.judges)}")
        if any(judge == other for place, judge in enumerate(self.judges) for other in self.judges[:place]):
            raise ConfigError("judge.members: two members are equal in every setting; they would count twice")
        if not 1 <= self.least <= len(self.judges):
            raise ConfigError(f"judge.least must be 1 to {len(self.judges)}, the number of members, not {self.least}")

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The members, in the order of the configuration."""
        return tuple(self.members.values() if isinstance(self.members, Mapping) else self.members)

    @property
    def name(self) -> str:
        """See `Judge.name`."""
        return f"{self.combine} of {', '.join(judge.name for judge in self.judges)}"

    @property
    def identity(self) -> str:
        """See `Judge.identity`: those of the members, in whatever order they are listed."""
        members = " + ".join(sorted(judge.identity for judge in self.judges))
        return f"panel{PANEL_VERSION}/{self.combine}/{self.least}/{members}"

    def lacks(self) -> list[str]:
        """See `Judge.lacks`: what any member lacks."""
        return list(dict.fromkeys(f"{lack} ({judge.name})" for judge in self.judges for lack in judge.lacks()))

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """See `Judge.judge`. Members go in step, so a stop loses no more than what is under way with each of them."""
        streams = [judge.judge(requests) for judge in self.judges]
        heard: dict[int, dict[int, Judgement]] = {}
        try:
            for answers in zip(*streams, strict=True):
                for member, (index, judgement) in enumerate(answers):
                    received = heard.setdefault(index, {})
                    received[member] = judgement
                    if len(received) == len(streams):
                        del heard[index]
                        yield index, self.combined([received[place] for place in range(len(streams))])
        finally:
            for stream in streams:
                if close := getattr(stream, "close", None):  # ends what a member has under way
                    close()

    def already_paid(self, request: JudgeRequest, usd: float) -> None:
        """See `Budgeted`.

        Whose share it was is not known, so each member is told of all: a limit holds, or holds early.
        """
        for judge in self.judges:
            if isinstance(judge, Budgeted):
                judge.already_paid(request, usd)

    def combined(self, judgements: Sequence[Judgement]) -> Judgement:
        """The panel's judgement.

        Costs are added where they are known. It is transient if a member could not be reached: asked again, the panel
        may be whole.

        Args:
            judgements: Those of the members, in their order.
        """
        costs = [judgement.cost_usd for judgement in judgements if judgement.cost_usd is not None]
        return Judgement(
            behaviour=self._score([judgement.behaviour for judgement in judgements]),
            coherence=self._score([judgement.coherence for judgement in judgements]),
            analysis="\n".join(
                _told(judge.name, judgement) for judge, judgement in zip(self.judges, judgements, strict=True)
            ),
            cost_usd=sum(costs) if costs else None,
            transient=any(judgement.transient for judgement in judgements),
        )

    def _score(self, scores: Sequence[Score]) -> Score:
        values = [score.value for score in scores if score.value is not None]
        if len(values) >= self.least:
            return Score(_COMBINE[self.combine](values))
        reasons = "; ".join(dict.fromkeys(score.missing for score in scores if score.missing is not None))
        return Score(None, f"{len(values)} of {len(scores)} members gave a score, {self.least} must: {reasons}")


def _told(name: str, judgement: Judgement) -> str:
    """One line of the analysis: what a member gave, or why it is left out, and its own words."""
    parts = [
        f"{what} left out ({score.missing})" if score.value is None else f"{what} {score.value:.3g}"
        for what, score in (("behaviour", judgement.behaviour), ("coherence", judgement.coherence))
    ]
    return f"{name}: {', '.join(parts)}. {judgement.analysis}".rstrip()
