"""Fitting the proxy judge: held out means held out, and a user's own scores make a judge."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindgap.core.records import JudgeRequest
from mindgap.judge import calibrate
from mindgap.judges.proxy import ProxyJudge
from mindgap.judges.proxy_anchors import anchors
from mindgap.judges.proxy_fit import Fitting, ScoredResponse, beginning, family, monotone, question_folds

QUERIES = ("be funny", "be professional and formal", "be more funny", "be concise")
MAP = """\
source: a test
columns: {query: query, method: method, prompt: prompt, response: response, behaviour: b, coherence: c}
model: m
judge: someone
"""


def recorded(count: int) -> list[dict[str, str]]:
    """Responses in which "indeed" is what the judge likes, and shuffled ones, which it finds incoherent."""
    rng = random.Random(0)
    sentence = "The answer to the question is found in the book on the table in the hall, and it is {} good."
    rows = []
    for number in range(count):
        likes, broken = rng.random() < 0.5, rng.random() < 0.3
        text = [word.replace("{}", "hilarious" if likes else "very") for word in sentence.split() * rng.randint(1, 4)]
        if broken:
            rng.shuffle(text)
        rows.append(
            {
                "query": QUERIES[number % 4],
                "method": "control" if number % 3 else "steered",
                "prompt": f"Question {number % 25}?",
                "response": " ".join([*text, str(number)]),
                "b": "5" if likes else "1",
                "c": "2" if broken else "5",
            }
        )
    return rows


def scored(count: int = 240) -> tuple[ScoredResponse, ...]:
    return tuple(
        ScoredResponse(
            "f",
            "j",
            row["method"],
            JudgeRequest(row["query"], "", row["prompt"], row["response"]),
            float(row["b"]),
            float(row["c"]),
        )
        for row in recorded(count)
    )


@pytest.mark.parametrize("target", ["behaviour", "coherence"])
def test_a_held_out_score_does_not_depend_on_the_scores_of_its_group(target: str) -> None:
    everything = scored()
    groups = question_folds(everything)
    held_out = np.array(groups) == 2
    honest = Fitting(everything, None).held_out(target, groups, only=held_out)
    changed = tuple(
        replace(response, behaviour=6 - response.behaviour, coherence=6 - response.coherence) if own else response
        for response, own in zip(everything, held_out, strict=True)
    )
    assert np.allclose(Fitting(changed, None).held_out(target, groups, only=held_out)[held_out], honest[held_out])
    assert np.isnan(honest[~held_out]).all() and not np.isnan(honest[held_out]).any()


def test_it_finds_what_the_recorded_judge_liked() -> None:
    everything = scored()
    fit = Fitting(everything, None)
    for target in ("behaviour", "coherence"):
        scores = fit.held_out(target, question_folds(everything))
        high = fit.scores(target) == 5
        assert scores[high].mean() > scores[~high].mean() + 2


def test_missing_scores_are_left_out_and_still_predicted() -> None:
    everything = tuple(
        replace(response, behaviour=float("nan")) if n % 5 == 0 else response for n, response in enumerate(scored())
    )
    scores = Fitting(everything, None).held_out("behaviour", question_folds(everything))
    assert not np.isnan(scores).any()


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 5)), min_size=2, max_size=200))
def test_the_line_never_falls_and_stays_between_the_scores(pairs: list[tuple[float, int]]) -> None:
    values, scores = np.array(pairs, dtype=float).T
    given_values, line = monotone(values, scores)
    assert (np.diff(given_values) >= -1e-9).all() and (np.diff(line) >= 0).all()
    assert scores.min() - 1e-9 <= line.min() and line.max() <= scores.max() + 1e-9


def test_rewordings_of_a_query_are_one_family() -> None:
    assert family("be creative and imaginative") == family("Be more creative with metaphors.") != family("be funny")


def test_a_beginning_is_whole_words_without_markup() -> None:
    assert beginning("<thinking>One two\nthree four</thinking>", 3) == "One two\nthree"
    assert beginning("One two", 3) == "One two"


def test_ruined_texts_are_made_of_the_responses_words_and_the_same_for_the_same_seed() -> None:
    texts = [row["response"] for row in recorded(30)]
    made = anchors(texts, 5)
    assert made == anchors(texts, 5) != anchors(texts, 5, seed=1)
    vocabulary = {word for text in texts for word in text.split()}
    assert {word for anchor in made for word in anchor.text.split()} <= vocabulary


def write(path: Path, count: int) -> str:
    rows = recorded(count)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (path.parent / "map.yaml").write_text(MAP)
    return f"{path}={path.parent / 'map.yaml'}"


def test_own_scores_make_an_own_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mindgap.text.embedding.embedder_lacks", lambda: ["the package x"])
    out = tmp_path / "mine.json"
    assert calibrate.main([str(out), write(tmp_path / "r.csv", 240)]) == 0
    assert "someone" in capsys.readouterr().out
    judge = ProxyJudge(str(out))
    (_, good), (_, bad) = judge.judge(
        [
            JudgeRequest("be funny", "", "Why?", f"It is {word} good, and it is on the table.")
            for word in ("hilarious", "very")
        ]
    )
    assert judge.name == "proxy-text"
    assert good.behaviour.value is not None and bad.behaviour.value is not None
    assert good.behaviour.value > bad.behaviour.value


@pytest.mark.parametrize(
    ("recordings", "said"),
    [
        ([], "at least one recording"),
        (["file.csv"], "file.csv=MAP"),
        (["nowhere.csv=goodfire_2025_09_8b"], "no such file"),
        (["SMALL"], "too few"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    tmp_path: Path, recordings: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small = write(tmp_path / "r.csv", 50)
    assert calibrate.main([str(tmp_path / "x.json"), *(small if name == "SMALL" else name for name in recordings)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
