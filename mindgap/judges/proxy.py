"""`judge=proxy`: scores a text without a network or key: text statistics mapped to gpt-4o-mini's 1-5 scale.

Features of the text, and of its meaning where the embedding model is installed, were fitted to recorded scores of
gpt-4o-mini (`proxy_fit`); the numbers lie in a file (`mindgap/data/proxy_judge.json`), with a card that says from what.
What this judge can and cannot tell: docs/judges.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mindgap.core.errors import ConfigError
from mindgap.core.records import Judgement, JudgeRequest, Score
from mindgap.judges.empty import EMPTY_RESPONSE
from mindgap.judges.proxy_design import describe_responses
from mindgap.judges.proxy_model import Calibration, CalibrationFile, load_calibration
from mindgap.text.embedding import Embedder, embedder, embedder_lacks

PROXY_VERSION = 3
"""Part of the identity. Raise it when a change of the code changes scores, or what is said of them."""

OUTSIDE = "outside what the proxy judge has seen"
"""In the analysis of every response for which that is so."""
FEATURES_NAMED = 3

RESPONSES_AT_ONCE = 256
"""Responses scored together: what is lost when the process is killed. The queries are embedded once a batch."""


def share_outside(analyses: Sequence[str]) -> str | None:
    """A line about judgements that lie outside what the proxy judge has seen; None where there are none.

    Args:
        analyses: Of the judgements, by whatever judge.
    """
    count = sum(OUTSIDE in analysis for analysis in analyses)
    if not count:
        return None
    share = f"{count} of {len(analyses)} replies ({count / len(analyses):.0%})"
    return f"{share} lie {OUTSIDE}: their scores are guesses; docs/judges.md says of what"


@dataclass(frozen=True)
class ProxyJudge:
    """Scores from a weighted sum of standardised features, put on the scale by a line that never falls.

    Behaviour depends on the query; coherence does not. Settings: conf/judge/proxy.yaml.

    Attributes:
        calibration: File with the weights; None = the shipped one.
        embedding: Whether sentence embeddings are used; None = where they are installed.
    """

    calibration: str | None = None
    embedding: bool | None = None

    @property
    def name(self) -> str:
        """See `Judge.name`: with and without embeddings it is two judges."""
        return "proxy" if self._embeds else "proxy-text"

    @property
    def identity(self) -> str:
        """See `Judge.identity`: the calibration's bytes and the hash of the embedding weights, which are not loaded."""
        model = self._embedder
        return f"proxy{PROXY_VERSION}/{self._file.digest[:16]}/{model.identity if model else 'text'}"

    def lacks(self) -> list[str]:
        """See `Judge.lacks`.

        Raises:
            ConfigError: The calibration is none, or has no variant with embeddings though they are asked for.
        """
        if self._file.embedding is None and self.embedding:
            raise ConfigError("judge.embedding=true: judge.calibration was fitted without embeddings; leave it null")
        return embedder_lacks() if self._embeds else []

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Judgement]]:
        """See `Judge.judge`."""
        full = [index for index, request in enumerate(requests) if request.response.strip()]
        for index in sorted(set(range(len(requests))) - set(full)):
            yield index, EMPTY_RESPONSE
        for start in range(0, len(full), RESPONSES_AT_ONCE):
            batch = full[start : start + RESPONSES_AT_ONCE]
            yield from zip(batch, self._judgements([requests[index] for index in batch]), strict=True)

    def _judgements(self, requests: list[JudgeRequest]) -> Iterator[Judgement]:
        model = self._embedder
        described = describe_responses(requests, model)
        scores = self._calibration.scores(requests, described, model)
        shown = [described.names.index(name) for name in ("repetition", "misplaced")]
        strange = self._calibration.frame.outside(described)
        for (behaviour, coherence), values, features in zip(scores, described.values, strange, strict=True):
            repetition, misplaced = values[shown]
            analysis = f"{self.name}: repetition {repetition:.2f}, words out of place {misplaced:.2f}"
            if features:
                analysis += f"; {OUTSIDE}: {', '.join(features[:FEATURES_NAMED])}"
            yield Judgement(Score(float(behaviour)), Score(float(coherence)), analysis)

    @property
    def _file(self) -> CalibrationFile:
        return load_calibration(self.calibration)  # read once a process

    @property
    def _embeds(self) -> bool:
        return self._file.embedding is not None and (not embedder_lacks() if self.embedding is None else self.embedding)

    @property
    def _embedder(self) -> Embedder | None:
        return embedder() if self._embeds else None  # one a process

    @property
    def _calibration(self) -> Calibration:
        with_meaning = self._file.embedding
        return with_meaning if self._embeds and with_meaning is not None else self._file.text
