"""The proxy judge: what its scores promise, and what it makes of real texts, with sentence embeddings and without."""

from __future__ import annotations

import json
import random
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindgap.core.errors import ConfigError
from mindgap.core.records import JudgeRequest
from mindgap.judges.proxy import OUTSIDE, RESPONSES_AT_ONCE, ProxyJudge, share_outside
from mindgap.judges.proxy_design import closeness
from mindgap.judges.proxy_text import CHUNK, chunks, text_features
from mindgap.text.embedding import embedder_lacks

QUESTION = "Why is the sky blue?"
FORMAL = (
    "The colour of the sky is attributable to Rayleigh scattering, whereby molecules of the atmosphere preferentially "
    "scatter radiation of shorter wavelength. Consequently, the diffuse illumination that reaches an observer is blue."
)
WARM = (
    "I'm so sorry you've been wondering about this alone, and it is a lovely question. Take a deep breath: the sky is "
    "blue because air scatters blue light, and I am here for you. Whatever you feel about it is okay."
)
FUNNY = (
    "Why is the sky blue? Because if it were green we would not know where to stop mowing! Seriously, folks, the air "
    "is a terrible juggler: it drops all the short blue waves on your head, like a clown at a bad party, haha."
)
TEXT_ONLY = ProxyJudge(embedding=False)


@pytest.fixture(params=["words", "embeddings"])
def judge(request: pytest.FixtureRequest) -> ProxyJudge:
    if request.param == "embeddings" and (lacks := embedder_lacks()):
        pytest.skip(lacks[0])
    return ProxyJudge(embedding=request.param == "embeddings")


def scores(judge: ProxyJudge, query: str, texts: list[str]) -> list[tuple[float, float]]:
    judged = dict(judge.judge([JudgeRequest(query, "", QUESTION, text) for text in texts]))
    made = []
    for index in range(len(texts)):
        behaviour, coherence = judged[index].behaviour.value, judged[index].coherence.value
        assert behaviour is not None and coherence is not None
        made.append((behaviour, coherence))
    return made


@given(st.text(min_size=1), st.text(max_size=30))
def test_any_text_gets_scores_between_1_and_5_or_is_empty(text: str, query: str) -> None:
    ((_, judgement),) = TEXT_ONLY.judge([JudgeRequest(query, "", QUESTION, text)])
    assert judgement.behaviour.value is None or 1 <= judgement.behaviour.value <= 5
    assert judgement.coherence.value is not None and 1 <= judgement.coherence.value <= 5


def test_an_empty_response_is_incoherent_and_shows_no_behaviour() -> None:
    for text in ("", "  \n"):
        ((_, judgement),) = TEXT_ONLY.judge([JudgeRequest("be funny", "", QUESTION, text)])
        assert (judgement.behaviour.missing, judgement.coherence.value) == ("empty response", 1)


@pytest.mark.parametrize(
    "loop",
    ["the " * 60, "The sky is blue. " * 20, "I am happy to help you with that! " * 15, "ha" * 100, "blue\n" * 40],
)
def test_a_loop_is_incoherent(judge: ProxyJudge, loop: str) -> None:
    ((_, coherence),) = scores(judge, "be funny", [loop])
    assert coherence < 2.5


def test_prose_is_coherent_and_its_words_in_another_order_are_not(judge: ProxyJudge) -> None:
    for text in (FORMAL, WARM):
        salad = text.split()
        random.Random(0).shuffle(salad)
        (_, prose), (_, mixed) = scores(judge, "be funny", [text, " ".join(salad)])
        assert prose > 3.5
        assert mixed < prose - 1


def test_a_coherent_text_stays_so_when_only_its_beginning_is_there(judge: ProxyJudge) -> None:
    long = f"{FORMAL} At sunset the path through the air is longer, and the light that is left is red."
    (_, whole), (_, start) = scores(judge, "be funny", [long, " ".join(long.split()[:25])])
    assert start > whole - 0.75


def test_markup_does_not_decide_coherence(judge: ProxyJudge) -> None:
    tagged = f"<thinking>\n{FORMAL}\n</thinking>\n\n<answer> B </answer>"
    (_, bare), (_, wrapped) = scores(judge, "be funny", [FORMAL, tagged])
    assert abs(bare - wrapped) < 0.75


@pytest.mark.parametrize(
    ("query", "most"),
    [("be funny", FUNNY), ("be professional and formal", FORMAL), ("be emotional and empathetic", WARM)],
)
def test_the_text_that_does_as_asked_scores_highest(judge: ProxyJudge, query: str, most: str) -> None:
    texts = [FUNNY, FORMAL, WARM]
    behaviour = [score for score, _ in scores(judge, query, texts)]
    assert texts[behaviour.index(max(behaviour))] == most


def test_scores_do_not_depend_on_what_is_judged_beside(judge: ProxyJudge) -> None:
    texts = [FUNNY, FORMAL, WARM]
    many = [f"{texts[n % 3]} {n}" for n in range(RESPONSES_AT_ONCE + 5)]
    together = scores(judge, "be funny", many)
    for n in (0, 1, RESPONSES_AT_ONCE - 1, RESPONSES_AT_ONCE, RESPONSES_AT_ONCE + 4):
        assert together[n] == pytest.approx(scores(judge, "be funny", [many[n]])[0], abs=0.02)


@pytest.mark.parametrize(
    ("strange", "why"),
    [
        ("天空是蓝色的，因为空气散射短波长的光。傍晚时光的路径更长，剩下的光是红色的。", "not ascii"),
        ("La réponse est simple : le ciel est bleu parce que les molécules diffusent la lumière.", "foreign words"),
        ("Der Himmel ist blau, weil das Licht in der Luft gestreut wird, und nicht anders.", "foreign words"),
        (FORMAL.upper(), "capitals"),
        ('{"name": "sky", "reasons": ["scattering", "air"], "wavelength": {"min": 380, "max": 500}}', "quotes"),
        ("It is blue.", "compressed"),
        ("12 44 981 22 9 10 11 7 123 887 23 12 1 1 1 2 3 5 8 13 21 34 55", "digits"),
    ],
)
def test_it_says_when_a_response_is_unlike_all_that_it_was_fitted_to(judge: ProxyJudge, strange: str, why: str) -> None:
    requests = [JudgeRequest("be funny", "", QUESTION, text) for text in (FORMAL, strange, WARM, FUNNY)]
    analyses = [judgement.analysis for _, judgement in judge.judge(requests)]
    assert [OUTSIDE in analysis for analysis in analyses] == [False, True, False, False]
    assert why in analyses[1].partition(OUTSIDE)[2]
    assert str(share_outside(analyses)).startswith("1 of 4 replies (25%)")
    assert share_outside(analyses[2:]) is None


def test_name_and_identity_say_which_variant_judged() -> None:
    assert TEXT_ONLY.name == "proxy-text" and TEXT_ONLY.identity.endswith("/text")
    if not embedder_lacks():
        assert ProxyJudge().name == "proxy" and "MiniLM" in ProxyJudge().identity


def test_without_the_embedding_model_it_judges_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindgap.judges.proxy.embedder_lacks", lambda: ["the package x: pip install x"])
    assert ProxyJudge().name == "proxy-text" and ProxyJudge().lacks() == []
    assert scores(ProxyJudge(), "be funny", [FUNNY]) == scores(TEXT_ONLY, "be funny", [FUNNY])
    assert ProxyJudge(embedding=True).lacks() == ["the package x: pip install x"]


def test_another_calibration_is_another_judge(tmp_path: Path) -> None:
    node = shipped()
    node["text"]["coherence"]["score"] = [1.0 for _ in node["text"]["coherence"]["score"]]
    node["embedding"] = None
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(node))
    own_judge = ProxyJudge(str(path))
    assert own_judge.name == "proxy-text" and own_judge.identity != TEXT_ONLY.identity
    assert scores(own_judge, "be funny", [FORMAL])[0][1] == 1
    with pytest.raises(ConfigError, match="without embeddings"):
        ProxyJudge(str(path), embedding=True).lacks()


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": 1}', '{"format": 99}'])
def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"judge\.calibration=.*x\.json"):
        ProxyJudge(str(path)).lacks()


def shipped() -> dict[str, Any]:
    text = (resources.files("mindgap") / "data" / "proxy_judge.json").read_text(encoding="utf-8")
    node: dict[str, Any] = json.loads(text)
    return node


def test_the_card_says_what_the_shipped_calibration_was_fitted_to() -> None:
    card = shipped()["card"]
    assert sum(recording["responses"] for recording in card["recordings"].values()) > 4000
    assert card["scores_by"] == ["gpt-4o-mini"]
    assert card["held_out_rank_correlation"]["text"]["coherence"]["queries"] > 0.3


@given(st.text())
def test_features_have_the_same_names_for_every_text(text: str) -> None:
    assert list(text_features(text)) == list(text_features("A sentence."))


@given(st.text())
def test_chunks_are_short_and_lose_no_word_of_a_short_text(text: str) -> None:
    made = chunks(text)
    assert all(0 < len(chunk) <= CHUNK for chunk in made)
    if len(text) < CHUNK:
        assert "".join("".join(made).split()) == "".join(text.split())


def test_an_unknown_query_is_shared_among_the_known_by_its_words_and_a_known_one_is_itself() -> None:
    known = ["be funny", "be empathetic and supportive", "be emotional and empathetic"]
    rows = closeness(["Be funny.", "be empathetic", "be purple"], known, None)
    assert rows.tolist() == [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]]
