"""A judge: the behaviour's own words in the reply, and how many different words it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mindgap.core.records import Judgement, JudgeRequest, Score


@dataclass(frozen=True)
class KeywordJudge:
    """Scores behaviour by the share of the query's longer words that the reply has, coherence by distinct words."""

    name: str = "keywords"
    shortest: int = 4

    @property
    def identity(self) -> str:
        """All that can change a score: a judgement is kept under it. Raise the version when `judge` changes."""
        return f"keywords/1/{self.shortest}"

    def lacks(self) -> list[str]:
        """What is missing here to judge: nothing."""
        return []

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """A judgement of each; where there can be no score, the reason stands in its place."""
        for index, request in enumerate(requests):
            words = [word for word in request.query.lower().split() if len(word) >= self.shortest]
            reply = request.response.lower().split()
            if not words or not reply:
                none = Score(None, "there are no words to go by")
                yield index, Judgement(none, none)
                continue
            behaviour = 1 + 4 * sum(word in request.response.lower() for word in words) / len(words)
            coherence = 1 + 4 * len(set(reply)) / len(reply)
            yield index, Judgement(Score(behaviour), Score(coherence), f"looked for {', '.join(words)}")
