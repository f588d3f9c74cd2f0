"""The proxy judge: what its maps promise, and what it makes of real texts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindgap.backends.base import ModelSpec
from mindgap.errors import ConfigError
from mindgap.judges.proxy import BATCH, ProxyJudge
from mindgap.records import Judgement, JudgeRequest, OptionScores, OptionsRequest

TINY = ProxyJudge(ModelSpec(name="tiny", embedded=True))
PLAIN = "The sky looks blue because air scatters short waves of light more than long ones."
nats = st.floats(-15, 0)


def scores(judgement: Judgement) -> tuple[float, float]:
    assert judgement.behaviour.value is not None
    assert judgement.coherence.value is not None
    return judgement.behaviour.value, judgement.coherence.value


@given(nats, nats, nats)
def test_the_likelier_when_asked_the_more_behaviour(neutral: float, asked: float, other: float) -> None:
    low, high = sorted([asked, other])
    assert scores(TINY.judgement(neutral, low, PLAIN))[0] <= scores(TINY.judgement(neutral, high, PLAIN))[0]


@given(nats, nats)
def test_the_likelier_the_more_coherent(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert scores(TINY.judgement(low, low, PLAIN))[1] <= scores(TINY.judgement(high, high, PLAIN))[1]


@given(nats, nats, st.text(min_size=1))
def test_scores_stay_between_1_and_5(neutral: float, asked: float, text: str) -> None:
    behaviour, coherence = scores(TINY.judgement(neutral, asked, text))
    assert 1 <= behaviour <= 5
    assert 1 <= coherence <= 5


def test_a_loop_is_incoherent_however_likely() -> None:
    assert scores(TINY.judgement(-0.1, -0.1, "I am happy to help. " * 30))[1] < 1.5
    assert scores(TINY.judgement(-0.1, -0.1, PLAIN))[1] > 4.5


def test_the_centres_score_three() -> None:
    assert scores(TINY.judgement(-3.5, -3.5, PLAIN)) == (3, 3)


def test_a_likelihood_that_is_none_is_a_missing_score() -> None:
    judgement = TINY.judgement(float("nan"), -1.0, PLAIN)
    assert judgement.behaviour.missing == judgement.coherence.missing != None  # noqa: E711
    assert "no finite likelihood" in str(judgement.behaviour.missing)


class Backwards:
    """An endpoint that answers last things first, with a likelihood that tells which text and prompt it was."""

    identity = "backwards"

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        for index, request in reversed(list(enumerate(requests))):
            (text,) = request.options
            number = int(text.split()[-1])
            gain = 0.01 * (number % 10) if len(request.messages) == 2 else 0.0
            yield index, OptionScores((10 * (-2.0 - number / 1000 + gain),), (10,))


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProxyJudge, "_endpoint", Backwards())


@pytest.mark.usefixtures("backwards")
def test_each_response_gets_its_own_scores_and_empty_ones_are_not_read() -> None:
    count = 2 * BATCH + 7
    requests = [JudgeRequest("be funny", "", "Why?", "" if n % 9 == 4 else f"response {n}") for n in range(count)]
    judged = dict(TINY.judge(requests))
    assert sorted(judged) == list(range(count))
    for n in range(count):
        if n % 9 == 4:
            assert (judged[n].behaviour.missing, judged[n].coherence.value) == ("empty response", 1)
        else:
            neutral = -2.0 - n / 1000
            assert scores(judged[n]) == pytest.approx(
                scores(TINY.judgement(neutral, neutral + 0.01 * (n % 10), f"response {n}"))
            )


@pytest.mark.usefixtures("backwards")
def test_identity_changes_with_every_constant() -> None:
    changes: list[dict[str, Any]] = [
        {"instruction": "You must {query}."},
        {"max_chars": 10},
        {"behaviour_centre": 0.1},
        {"behaviour_scale": 0.2},
        {"coherence_centre": -2.0},
        {"coherence_scale": 0.1},
        {"repetition_power": 1.0},
    ]
    identities = {replace(TINY).identity, *(replace(TINY, **change).identity for change in changes)}
    assert len(identities) == 8
    assert all("backwards" in identity for identity in identities)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"instruction": "Be nice."}, "put {query} in it"),
        ({"max_chars": 0}, "judge.max_chars must be at least 1, not 0"),
        ({"behaviour_scale": 0.0}, "judge.behaviour_scale must be above 0"),
        ({"coherence_scale": -1.0}, "judge.coherence_scale must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        replace(TINY, **setting)
    assert message in str(refused.value)


def test_a_reader_that_is_not_here_is_said_before_anything_is_loaded() -> None:
    (missing,) = replace(TINY, reader=ModelSpec(name="none")).lacks()
    assert "model.hf_id" in missing


QUESTION = "Why is the sky blue?"
FORMAL = (
    "The colour of the sky is attributable to Rayleigh scattering, whereby molecules of the atmosphere preferentially "
    "scatter radiation of shorter wavelength."
)
WARM = (
    "I'm so sorry you've been wondering about this alone, and it is a lovely question. Take a deep breath: the sky is "
    "blue because air scatters blue light, and I am here for you."
)


def judged(query: str, texts: list[str]) -> list[tuple[float, float]]:
    found = dict(TINY.judge([JudgeRequest(query, "", QUESTION, text) for text in texts]))
    return [scores(found[index]) for index in range(len(texts))]


def test_the_embedded_model_tells_prose_from_salad_and_from_a_loop(tiny: Any) -> None:
    salad = FORMAL.split()
    random.Random(0).shuffle(salad)
    prose, mixed, loop = judged("be funny", [FORMAL, " ".join(salad), "The sky is blue. " * 20])
    assert prose[1] > 3
    assert mixed[1] < 1.5
    assert loop[1] < 1.5
    assert tiny.identity in replace(TINY).identity, "the reader's weights are part of the key"


@pytest.mark.usefixtures("tiny")
def test_the_embedded_model_tells_warm_from_formal() -> None:
    warm, formal = judged("be emotional and empathetic", [WARM, FORMAL])
    assert warm[0] > formal[0]
    warm, formal = judged("be professional and formal", [WARM, FORMAL])
    assert formal[0] > warm[0]
