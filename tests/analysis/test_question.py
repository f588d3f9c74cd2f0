"""The question that is asked decides the answer; nothing is run again for another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweeps import ASK, KINDS, QUERIES, Kind, make_cell

from mindgap.analysis.answer import directly, question_in_words, settling
from mindgap.analysis.comparison import GroupComparison
from mindgap.analysis.compute import compare
from mindgap.analysis.headline import headline
from mindgap.core.errors import ConfigError
from mindgap.results.question import Question
from mindgap.results.sweep import SweepResults, grouped

CONTROL = KINDS[0]
ASKED = Kind("prompt", "Prompting", instruction=ASK, behaviour=1.0, accuracy=0.0)
STRONG = Kind("vector", "Vector", "dose0.2", 0.2, behaviour=2.0, accuracy=0.15)


def compared(*kinds: Kind, items: int = 40, queries: tuple[str, ...] = QUERIES, **question: Any) -> GroupComparison:
    (group,) = grouped([make_cell(Path("study"), kind, queries=queries, items=items) for kind in kinds])
    return compare(group, Question(**question))


def test_a_wider_limit_changes_the_answer() -> None:
    narrow, wide = (compared(CONTROL, ASKED, STRONG, margin=margin) for margin in (0.03, 0.3))
    assert headline(narrow).startswith("Losing at most 3 points of accuracy against Control, Prompting brings the most")
    assert headline(wide).startswith("Losing at most 30 points of accuracy against Control, Vector")
    assert question_in_words(wide).endswith("at no more than 30 points of accuracy lost against Control?")
    assert (wide.of(wide.best.cell).keeps or 0) > 0.99 and "It keeps the limit with a probability of" in headline(wide)


def test_another_measure_may_pay_and_a_behaviour_may_be_demanded() -> None:
    group = compared(CONTROL, ASKED, STRONG, metric="coherence", margin=0.2)
    assert headline(group).startswith("Losing at most 0.2 of coherence against Control, Vector")
    group = compared(CONTROL, ASKED, STRONG, at_least=4.9)
    assert "no method reaches a behaviour of 4.9: the most is Prompting's" in headline(group)


def test_words_and_steering_are_set_against_each_other_pair_by_pair() -> None:
    group = compared(CONTROL, ASKED, STRONG)
    pair = next(pair for pair in group.pairs if {pair.cell.cell.method, pair.other.cell.method} == {"prompt", "vector"})
    direct = group.direct.differences["behaviour"].estimate.value
    assert abs(direct) == pytest.approx(abs(pair.differences["behaviour"].estimate.value))
    assert directly(group).startswith("Vector (dose 0.2) brings more than Prompting: +")


def test_what_is_open_says_how_large_a_study_would_settle_it() -> None:
    group = compared(CONTROL, ASKED, items=12)
    (said,) = settling(group)
    assert said.startswith("Whether Prompting keeps the limit is open") and "would show it 4 times in 5" in said
    assert "(now 14 × 12; that takes" in said


def test_a_cautious_question_takes_no_cell_that_may_break_the_limit() -> None:
    bold, cautious = (compared(CONTROL, ASKED, items=12, confidence=confidence) for confidence in (None, 0.99))
    assert bold.of(bold.best.cell).name == "Prompting" and cautious.best.cell.method == "tiny-control-none"
    assert "no method that clearly raises the behaviour keeps the limit: the nearest, Prompting, does with" in headline(
        cautious
    )


@pytest.mark.parametrize(
    ("question", "hint"),
    [
        ({"margin": 2.0}, "2 percentage points are 0.02"),
        ({"metric": "acuracy"}, "Did you mean accuracy?"),
        ({"metric": "repetition"}, "no measure of which more is better"),
        ({"confidence": 95.0}, "at least 0.5 and below 1"),
        ({"at_least": 7.0}, "scored from 1 to 5"),
        ({"reference": "kontrol"}, "there are Control, Prompting"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(question: dict[str, Any], hint: str) -> None:
    sweep = SweepResults(Path("study"), grouped([make_cell(Path("study"), kind, items=2) for kind in KINDS[:2]]))
    with pytest.raises(ConfigError, match=hint):
        sweep.asking(Question(**question))


def test_any_cell_can_be_the_reference() -> None:
    sweep = SweepResults(Path("study"), grouped([make_cell(Path("study"), kind, items=2) for kind in KINDS[:3]]))
    assert sweep.asking(Question(reference="Prompting")).groups[0].reference.method == "prompt"
