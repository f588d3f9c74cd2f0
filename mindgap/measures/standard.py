"""The measures of every sweep that asks for no others: those of `conf/measures/standard.yaml`, in their order."""

from __future__ import annotations

from mindgap.measures.accuracy import Accuracy, AccuracyAnswered, Answered
from mindgap.measures.base import Measure
from mindgap.measures.collapse import Distinct2, Repetition, Words
from mindgap.measures.judged import Behaviour, Coherence
from mindgap.measures.loglik_accuracy import LoglikAccuracy
from mindgap.measures.surprise import Surprise

STANDARD: tuple[Measure, ...] = (
    Behaviour(),
    Coherence(),
    Accuracy(),
    AccuracyAnswered(),
    Answered(),
    LoglikAccuracy(),
    Repetition(),
    Distinct2(),
    Words(),
    Surprise(),
)
