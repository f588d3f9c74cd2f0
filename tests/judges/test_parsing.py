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


VERDICT = '{"analysis": "fine", "behaviour": 4, "coherence": 5}'
DRAFT = '{"analysis": "a draft", "behaviour": 1, "coherence": 1}'


@pytest.mark.parametrize("score", ['"4/5"', "4/5", '"4 / 5"', '"4 out of 5"', '"**4**"', "4.0", '" 4 "'])
def test_a_whole_number_counts_however_it_is_written(score: str) -> None:
    behaviour, coherence, _ = read_scores(f'```json\n{{"analysis": "", "behaviour": {score}, "coherence": 5}}\n```')
    assert (behaviour.value, coherence.value) == (4, 5)


@pytest.mark.parametrize(
    "text",
    [
        f"<think>Perhaps {DRAFT}?</think>\n{VERDICT}",
        f"<THINKING>\n{DRAFT}\n</ Thinking >{VERDICT}",
        f"Perhaps {DRAFT}? No.</think>{VERDICT}",  # the prompt held the opening mark
        f"<think>one {DRAFT}</think> then <think>two {DRAFT}</think> {VERDICT}",
        f"Well. <think>{DRAFT}</think> ```json\n{VERDICT}\n```",
        f"[THINK]{DRAFT}[/THINK]{VERDICT}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{VERDICT}",
        f'<think>a half draft {{"behaviour": 2, "analysis": "</think>{VERDICT}',
    ],
)
def test_what_a_judge_thinks_is_not_its_verdict(text: str) -> None:
    behaviour, coherence, analysis = read_scores(text)
    assert (behaviour.value, coherence.value, analysis) == (4, 5, "fine")


@pytest.mark.parametrize("text", [f"<think>I say {DRAFT}", f"<think>x</think><think>{DRAFT}", f"{VERDICT} <think>or"])
def test_a_reply_that_ends_in_its_reasoning_has_no_verdict(text: str) -> None:
    behaviour, coherence, _ = read_scores(text)
    assert behaviour.missing == coherence.missing == "the judge's reply was cut off inside its reasoning"


@pytest.mark.parametrize("quoted", ["It begins with <think>.", "A stray </think> stands in it.", "<think>x</think>"])
def test_marks_that_the_analysis_quotes_end_and_begin_nothing(quoted: str) -> None:
    behaviour, coherence, analysis = read_scores(f'{{"analysis": "{quoted}", "behaviour": 2, "coherence": 3}}')
    assert (behaviour.value, coherence.value, analysis) == (2, 3, quoted)


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
        ('"4.5"', 'behaviour is not an integer: "4.5"'),
        ('"4/10"', 'behaviour is not an integer: "4/10"'),
        ('"6/5"', "behaviour is out of range: 6"),
        ('"4.5/5"', 'behaviour is not an integer: "4.5/5"'),
        ('"80%"', 'behaviour is not an integer: "80%"'),
        ('"between 3 and 4"', 'behaviour is not an integer: "between 3 and 4"'),
        ("9" * 6000, "behaviour is out of range: a number of more than 100 digits"),
        ("-" + "9" * 6000, "behaviour is out of range: a number of more than 100 digits"),
        ("1" + "0" * 400, "behaviour is out of range: a number of more than 100 digits"),
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
    ],
)
def test_without_scores_both_are_missing_and_the_reply_is_shown(text: str) -> None:
    behaviour, coherence, _ = read_scores(text)
    assert behaviour.missing is not None
    assert behaviour.missing.startswith("no scores in the judge's reply: ")
    assert len(behaviour.missing) < 130
    assert coherence == behaviour
