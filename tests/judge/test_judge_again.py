"""`python -m mindgap.judge`: other judges for a finished sweep, nothing generated, nothing paid twice."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from scripted import ASKED, ITEMS, QUERIES, judge_files, write_readable
from sweeps import write_reports

from mindgap.core.compose import composed, config_folder
from mindgap.judge.__main__ import main
from mindgap.results.files import read_cell
from mindgap.results.judgements import JUDGEMENTS, read_judgements
from mindgap.results.sweep import read_sweep

CELLS = 3
REPLIES = CELLS * (len(QUERIES) * ITEMS - 1)  # the first sample of each cell has no reply


@pytest.fixture(autouse=True)
def _nobody_was_asked() -> Iterator[None]:
    ASKED.clear()
    yield
    ASKED.clear()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_readable(tmp_path / "outputs" / "study")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    contrary = {"like": False, "usd": 0.001}
    return judge_files(
        tmp_path / "conf", echo={}, contrary=contrary, hasty={"stop_after": 40}, deaf={"deaf": "be kind"}
    )


def judge(sweep: Path, conf: Path, *settings: str) -> int:
    return main([str(sweep), f"config_dir={conf}", *settings])


def test_every_reply_is_judged_and_the_sweep_itself_stays_as_it_is(
    sweep: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    assert judge(sweep, conf, "judge=echo,contrary") == 0
    assert {path: path.read_bytes() for path in before} == before
    assert len(ASKED) == 2 * REPLIES
    for folder in (path for path in sweep.iterdir() if path.is_dir()):
        rows = pq.read_table(folder / JUDGEMENTS / "contrary.parquet").to_pylist()
        records = {record.key: record for record in read_cell(folder).records}
        assert list(rows[0]) == [
            *("key", "behaviour", "behaviour_missing", "coherence", "coherence_missing", "analysis", "cost_usd")
        ]
        assert {row["key"] for row in rows} == set(records)
        for row in rows:
            if records[row["key"]].error is None:
                assert row["behaviour"] == 6 - float(records[row["key"]].response.split()[0])
                assert (row["behaviour_missing"], row["analysis"], row["cost_usd"]) == (None, "as it says", 0.001)
            else:
                assert row["behaviour"] is None and "the server said no" in row["behaviour_missing"]
    printed = capsys.readouterr().out
    assert f"contrary: {REPLIES} judged, 0 known from before; {0.001 * REPLIES:.4f} USD" in printed
    assert "Means by judge" in printed and "Agreement with proxy" in printed and "be kind" in printed


def test_a_judge_is_shown_what_it_would_be_shown_in_a_sweep(sweep: Path, conf: Path) -> None:
    assert judge(sweep, conf, "judge=echo") == 0
    for _, request in ASKED:
        assert request.rubric == f"is it {request.query}?"
        assert request.question.startswith("What is ")


def test_the_largest_disagreements_come_first(sweep: Path, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(sweep, conf, "judge=contrary") == 0
    with (sweep / "disagreements.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    apart = [float(row["apart"]) for row in rows]
    assert apart == sorted(apart, reverse=True) and apart[0] == 4
    assert {abs(float(row["proxy"]) - float(row["contrary"])) for row in rows[:5]} == {4}
    assert rows[0]["response"].startswith(f"{float(rows[0]['proxy'])}")
    assert "disagreements.csv" in capsys.readouterr().out


def test_a_second_run_asks_nobody(sweep: Path, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(sweep, conf, "judge=echo") == 0
    (before,) = {path.read_bytes() for path in sweep.glob("tiny-control-none/judgements/*")}
    ASKED.clear()
    assert judge(sweep, conf, "judge=echo") == 0
    assert ASKED == []
    assert f"echo: 0 judged, {REPLIES} known from before" in capsys.readouterr().out
    assert {path.read_bytes() for path in sweep.glob("tiny-control-none/judgements/*")} == {before}


def test_what_was_judged_before_an_interrupt_is_not_asked_again(
    sweep: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(sweep, conf, "judge=hasty") == 130
    assert "the same command goes on" in capsys.readouterr().err
    asked = list(ASKED)
    assert len(asked) == 40
    ASKED.clear()
    assert judge(sweep, conf, "judge=hasty", "judge.stop_after=null") == 0
    assert len(ASKED) == REPLIES - 40
    assert not set(asked) & set(ASKED)


def test_a_judge_that_cannot_be_reached_is_asked_again(
    sweep: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(sweep, conf, "judge=deaf") == 1
    assert f"{CELLS * ITEMS} not judged" in capsys.readouterr().out
    scores = read_judgements(read_sweep(sweep))["tiny-control-none"]["deaf"]
    assert sum(behaviour.missing == "no judgement: the line is dead" for behaviour, _ in scores.values()) == ITEMS
    ASKED.clear()
    assert judge(sweep, conf, "judge=deaf", "judge.deaf=''") == 0
    assert {request.query for _, request in ASKED} == {"be kind"}


def test_no_sweep_holds_one_judge_with_two_settings(sweep: Path, conf: Path) -> None:
    assert judge(sweep, conf, "judge=echo") == 0
    ASKED.clear()
    assert judge(sweep, conf, "judge=echo", "judge.like=false", "judge.stop_after=1") == 130  # within the first cell
    assert list(sweep.glob("*/judgements/*")) == []


def test_the_sweeps_own_judge_is_told_from_the_same_judge_asked_again(sweep: Path, conf: Path) -> None:
    judge_files(conf, again={"title": "proxy"})
    assert judge(sweep, conf, "judge=again") == 0
    assert list(read_judgements(read_sweep(sweep))["tiny-control-none"]) == ["proxy", "proxy (again)"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["judge=ecko"], "Did you mean"),
        (["judge=echo,contrary", "judge.like=false"], "one judge at a time"),
        (["judg=echo"], "Did you mean judge?"),
        (["judge=echo", "judge.lke=true"], "lke"),
        (["another"], "give one folder"),
    ],
)
def test_mistakes_are_one_message_and_status_2(
    sweep: Path, conf: Path, settings: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(sweep, conf, *settings) == 2
    assert says in capsys.readouterr().err
    assert ASKED == []


def test_without_a_judge_it_shows_what_is_there(sweep: Path, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep)]) == 0
    printed = capsys.readouterr().out
    assert "Only one judge saw these responses: proxy." in printed and f"{sweep} judge=NAME" in printed


def test_a_sweep_judged_again_by_its_own_judge_asks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The questions and rubrics put together from a cell's files are, to the letter, those of the run."""
    from mindgap.study.job import run_job

    conf = judge_files(tmp_path / "conf", echo={})
    outputs = tmp_path / "outputs"
    small = ["task=starter_open", "task.limit=2", "query_set.queries=[be funny,be of use]", "resamples=200"]
    rest = ["judge=echo", "tracker=none", "sweep=study", f"outputs={outputs}", f"hydra.searchpath=['file://{conf}']"]
    settings = composed([*small, *rest], config_folder())
    run_job(OmegaConf.create(settings | {"backend": {"_target_": "scripted.Parrot"}}))
    assert len(ASKED) == 4
    assert judge(outputs / "study", conf, "judge=echo") == 0
    assert len(ASKED) == 4 and "echo: 0 judged, 4 known" in capsys.readouterr().out


def test_reports_show_every_judge_that_is_there(sweep: Path, conf: Path) -> None:
    assert judge(sweep, conf, "judge=echo,contrary") == 0
    for path in write_reports(sweep, formats=("html", "markdown", "latex")):
        text = path.read_text(encoding="utf-8")
        assert "contrary" in text and "echo" in text


def test_a_folder_of_ones_own_is_named_as_everywhere() -> None:
    from mindgap.judge.__main__ import _read

    for given in (["--config-dir", "mine"], ["-cd", "mine"], ["--config-dir=mine"], ["config_dir=mine"]):
        assert _read(["outputs/study", *given, "judge=x"])[1] == {"config_dir": "mine", "judge": "x"}
