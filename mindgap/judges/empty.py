"""The judgement of a response without text, the same for every judge."""

from __future__ import annotations

from mindgap.core.records import Judgement, Score

EMPTY_RESPONSE = Judgement(
    behaviour=Score(None, "empty response"),
    coherence=Score(1),
    analysis="The response is empty.",
)
"""No text is as incoherent as text can be, and that is a finding: leaving it out would flatter a method that silences
the model. Which behaviour it shows cannot be said."""
