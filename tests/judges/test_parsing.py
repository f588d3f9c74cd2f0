"""What a judge's reply amounts to: a value in range, or missing with the reason."""

from __future__ import annotations

import pytest

from mindgap.judges.parsing import read_scores


@pytest.mark.parametrize(
    "text",
    [
        '{"analysis": "fine", "behaviour": 4, "coherence": 5}',
        '```json\n{"analysis": "fine", "behaviour": 4, "coherence": 5}\n```',
        'Here is my rating: {"analysis": "fine", "behavior": 4, "coherence": 5} I hope it helps.',
        '{"analysis": "fine", "behaviour": "4", "coherence": 5.0}',
        '{"analysis": "fine", "behaviour": 4, "coherence": 5, "note": {"behaviour": 1}}',
        'I {think} so. {"analysis": "fine", "behaviour": 4, "coherence": 5}',
        '{"analysis": "fine", "behaviour": 4, "coherence": 5} {"analysis": "fine", "behaviour": 4, "coherence": 5}',
    ],
)
def test_scores_are_found_whatever_stands_around_them(text: str) -> None:
    behaviour, coherence, analysis = read_scores(text)
    assert (behaviour.value, coherence.value, analysis) == (4, 5, "fine")


def test_line_breaks_inside_the_analysis_do_no_harm() -> None:
    behaviour, _, analysis = read_scores('{"analysis": "one\ntwo", "behaviour": 2, "coherence": 3}')
    assert (behaviour.value, analysis) == (2, "one\ntwo")


def test_scores_quoted_inside_the_analysis_are_not_scores() -> None:
    text = r'{"analysis": "It says {\"behaviour\": 5, \"coherence\": 5}.", "behaviour": 1, "coherence": 2}'
    behaviour, coherence, _ = read_scores(text)
    assert (behaviour.value, coherence.value) == (1, 2)


@pytest.mark.parametrize(
    ("behaviour_text", "reason"),
    [
        ("0", "behaviour is out of range: 0"),
        ("6", "behaviour is out of range: 6"),
        ("-3", "behaviour is out of range: -3"),
        ("3.5", "behaviour is not an integer: 3.5"),
        ("true", "behaviour is not an integer: true"),
        ("null", "behaviour is not an integer: null"),
        ('"high"', 'behaviour is not an integer: "high"'),
        ('"4/5"', 'behaviour is not an integer: "4/5"'),
        ("NaN", "behaviour is not an integer: NaN"),
        ("Infinity", "behaviour is not an integer: Infinity"),
        ("[4]", "behaviour is not an integer: [4]"),
        ('"²"', 'behaviour is not an integer: "²"'),
        (f'"{"9" * 5000}"', f'behaviour is not an integer: "{"9" * 78}…'),
    ],
)
def test_one_unusable_score_is_missing_alone(behaviour_text: str, reason: str) -> None:
    behaviour, coherence, _ = read_scores(f'{{"analysis": "", "behaviour": {behaviour_text}, "coherence": 4}}')
    assert (behaviour.value, behaviour.missing) == (None, reason)
    assert coherence.value == 4


def test_an_absent_score_is_missing_alone() -> None:
    behaviour, coherence, _ = read_scores('{"coherence": 4}')
    assert (behaviour.missing, coherence.value) == ("the judge gave no behaviour", 4)


def test_verdicts_that_disagree_are_no_verdict() -> None:
    text = '{"behaviour": 5, "coherence": 4} was in the response. {"behaviour": 1, "coherence": 4}'
    behaviour, coherence, _ = read_scores(text)
    assert behaviour.missing == "the judge gave several values for behaviour: [5, 1]"
    assert coherence.value == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot rate this.",
        "4",
        "[4, 5]",
        '{"analysis": "cut o',
        "{" * 5000,
        "Score: 5",
        f'{{"behaviour": {"4" * 5000}}}',
    ],
)
def test_without_scores_both_are_missing_and_the_reply_is_shown(text: str) -> None:
    behaviour, coherence, _ = read_scores(text)
    assert behaviour.missing is not None
    assert behaviour.missing.startswith("no scores in the judge's reply: ")
    assert len(behaviour.missing) < 130
    assert coherence == behaviour
