"""Sweeps over doses teach the proxy judge what collapse looks like, without a rater."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted import write_readable
from sweeps import ASK, Kind

from mindgap.core.records import JudgeRequest
from mindgap.judge import calibrate
from mindgap.judge.doses import read_dosed
from mindgap.judges.proxy import ProxyJudge
from mindgap.judges.proxy_doses import DosedResponse, ordered_pairs, share_in_order, solve_in_order
from mindgap.results.files import read_cell, write_cell

CONTROL = Kind("control", "Control")
PROMPT = Kind("prompt", "Prompting", instruction=ASK)
VECTORS = tuple(Kind("vector", "Vector", f"dose{dose:g}", dose) for dose in (0.3, 0.7, 1.1))
SENTENCE = "The answer to question {} is found in the book on the table in the hall, and it is very good."
MAP = """\
source: a test
columns: {query: query, method: method, prompt: prompt, response: response, behaviour: b, coherence: c}
model: m
judge: someone
"""


def collapsed(text: str, share: float) -> str:
    """The text as a steered model might break it: brackets around this share of the words, from the front."""
    words = text.split()
    return " ".join(f"({word}" if place < share * len(words) else word for place, word in enumerate(words))


def dose_sweep(folder: Path) -> Path:
    """A sweep in which more steering puts more brackets into the replies, and of which nobody rated a reply."""
    write_readable(folder, (CONTROL, PROMPT, *VECTORS))
    for cell_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        cell = read_cell(cell_folder)
        text = [collapsed(SENTENCE.format(record.item), record.dose or 0) for record in cell.records]
        records = [replace(record, response=said) for record, said in zip(cell.records, text, strict=True)]
        write_cell(replace(cell, records=tuple(replace(record, error=None) for record in records)))
    return folder


def recording(folder: Path) -> str:
    """Scored responses without a bracket: in order they are coherent, shuffled they are not."""
    rng = random.Random(0)
    rows = []
    for number in range(240):
        text = SENTENCE.format(number).split() * rng.randint(1, 3)
        broken = rng.random() < 0.3
        if broken:
            rng.shuffle(text)
        asked = {"query": ("be funny", "be concise")[number % 2], "prompt": f"Question {number % 25}?"}
        rows.append({**asked, "method": "control", "response": " ".join(text), "b": "3", "c": "2" if broken else "5"})
    with (folder / "r.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "map.yaml").write_text(MAP)
    return f"{folder / 'r.csv'}={folder / 'map.yaml'}"


@pytest.fixture
def coherence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Coherence of responses by a calibration that is fitted to the recording and to the sources given."""
    monkeypatch.setattr("mindgap.text.embedding.embedder_lacks", lambda: ["the package x"])

    def scores(responses: list[str], *sources: str) -> list[float]:
        out = tmp_path / f"fitted{len(sources)}.json"
        assert calibrate.main([str(out), recording(tmp_path), *sources]) == 0
        judged = dict(ProxyJudge(str(out)).judge([JudgeRequest("be funny", "", "Why?", text) for text in responses]))
        return [judged[place].coherence.value or 0 for place in range(len(responses))]

    return scores


def test_a_calibration_learns_a_collapse_that_nobody_has_rated(
    tmp_path: Path, coherence: Callable[..., list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    new = "It is said that the hall of the house is long, and that the table in it is of oak."
    replies = [collapsed(new, share) for share in (0, 0.5, 1)]
    before = coherence(replies)
    after = coherence(replies, f"doses={dose_sweep(tmp_path / 'outputs' / 'doses')}")
    assert before[2] > 4.5  # no score says that brackets are bad
    assert after[0] > 4.5 and after[2] < 4.2
    assert after[0] - after[2] > 2 * (before[0] - before[2])
    assert after[0] >= after[1] >= after[2]
    assert '"pairs_in_order": 180' in capsys.readouterr().out  # 3 queries, 12 items, 5 pairs at least 0.4 apart


def test_unsteered_replies_to_the_same_prompt_are_dose_0_of_every_method(tmp_path: Path) -> None:
    dosed = read_dosed([str(dose_sweep(tmp_path / "outputs" / "doses"))])
    assert len({response.series for response in dosed}) == 36
    assert sorted({response.dose for response in dosed}) == [0, 0.3, 0.7, 1.1]
    assert len(dosed) == 36 * 4  # the prompted replies answer another prompt


def test_a_sweep_without_clearly_different_doses_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_readable(tmp_path / "outputs" / "flat", (CONTROL, VECTORS[0]))
    assert calibrate.main([str(tmp_path / "x.json"), recording(tmp_path), f"doses={folder}"]) == 2
    assert "differ by 0.4 or more in dose alone" in capsys.readouterr().err


def test_pairs_are_of_one_series_and_clearly_apart() -> None:
    doses = [("a", 0.0), ("a", 0.3), ("a", 0.7), ("b", 0.0), ("b", 1.0)]
    pairs = ordered_pairs([DosedResponse(series, "m", dose, JudgeRequest("", "", "", "x")) for series, dose in doses])
    assert sorted(map(tuple, pairs.tolist())) == [(0, 2), (1, 2), (3, 4)]
    assert share_in_order(np.array([5.0, 4, 3, 2, 2]), pairs) == pytest.approx(2.5 / 3)


def test_pairs_in_order_change_nothing_and_pairs_out_of_order_are_turned() -> None:
    rng = np.random.default_rng(0)
    table = np.hstack([np.ones((50, 1)), rng.normal(size=(50, 3)), np.zeros((50, 1))])
    table[:, -1] = 3 + table[:, 1]  # the score is the first column, and the other two are nothing
    sums = table.T @ table
    plain = solve_in_order(sums, np.zeros((0, 3)), 1, 1, 0.5)
    kept = solve_in_order(sums, np.array([[2.0, 0, 0]]), 1, 1, 0.5)
    assert kept[0] == plain[0] and (kept[1] == plain[1]).all()
    falls = np.array([[0.0, 1, 0]] * 100)
    assert (falls @ plain[1] < 0.1).all() and (falls @ solve_in_order(sums, falls, 1, 1, 0.5)[1] > 0.3).all()
