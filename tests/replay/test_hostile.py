"""What somebody else's model, recording or label says is text wherever it is shown: nothing obeys it.

One recording with hostile text in every column goes through every place that shows it; where it is markup's own words
that count, a plain recording of the same shape is the measure.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from processes import spawn
from wandb_log import read_runs

from mindgap.annotate.server import AnnotationServer
from mindgap.core.characters import encodable
from mindgap.replay.__main__ import main as replay
from mindgap.report.__main__ import main as report
from mindgap.results.cards import cards_of
from mindgap.results.sweep import read_sweep
from mindgap.view.sweeps import Sweeps

TERMINAL = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b2J\x08\x7f\x00\r"
TURNED = "\u202eesrever\u2066\u2028\ufeff"
MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;<!-- ]]> {{7*7}} ${7*7}"
MARKDOWN = "](javascript:alert(1)) [x](javascript:alert(1)) ![x](http://evil.example/x.png) | `a` | **b**\n# c\n---"
LATEX = r"\input{/etc/passwd}\write18{touch owned}$x^2$%}{&#~_ \end{tabular}"
RICH = "[bold red]loud[/] [link=http://evil.example]x[/link] [/nonsense]"
FORMULA = '=HYPERLINK("http://evil.example","x")|\'/c calc\'!A0'
ALL = f"{FORMULA} {RICH} {MARKUP} {MARKDOWN} {LATEX} {TURNED} {TERMINAL} half a character: \ud83d"
LONG = 5 << 20
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")

MAP = {
    "source": "a test",
    "model": "small",
    "judge": "somebody",
    "columns": {
        "query": "wish",
        "method": "arm",
        "prompt": "user",
        "response": "reply",
        "behaviour": "shown",
        "coherence": "sense",
    },
}


@dataclass(frozen=True)
class Imported:
    """A recording that was imported and reported, and what the terminal was told."""

    folder: Path
    said: str

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def imported(folder: Path, evil: str) -> Imported:
    """A recording with `evil` in every column, brought in and reported as a person would."""
    rows = [
        {
            "wish": f"{evil} be {wish}",
            "arm": f"{evil} {arm}",
            "user": f"{evil} question {number}?",
            "reply": f"{evil} reply {wish} {number}",
            "shown": 1 + (number + len(arm)) % 5,
            "sense": 1 + number % 5,
        }
        for arm in ("control", "other")
        for wish in ("funny", "brief")
        for number in range(3)
    ]
    rows[0]["reply"] = "long word " * (LONG // 10)
    folder.mkdir()
    (folder / "recording.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "own.yaml").write_text(yaml.safe_dump(MAP), encoding="utf-8")
    made = folder / "out" / "x"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert replay([str(folder / "recording.jsonl"), str(made), f"map={folder / 'own.yaml'}"]) == 0
        assert report([str(made), "--format", "html,markdown,latex"]) == 0
    return Imported(made, said.getvalue())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return imported(tmp_path_factory.mktemp("one") / "hostile", ALL)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """A recording of the same shape."""
    return imported(tmp_path_factory.mktemp("other") / "plain", "plain \ud83d")


def test_everything_is_kept_as_it_was_said(hostile: Imported) -> None:
    records = [record for cell in read_sweep(hostile.folder).cells for record in cell.records]
    assert len(records) == 12
    assert {record.query for record in records} == {f"{encodable(ALL)} be {wish}" for wish in ("funny", "brief")}
    assert sorted(len(record.response) for record in records)[-1] == LONG // 10 * 10


def test_the_terminal_obeys_nothing(hostile: Imported) -> None:
    assert not OBEYED.findall(hostile.said)
    assert r"\x1b]0;" in hostile.said and "[bold red]loud" in hostile.said


def test_markdown_is_text(hostile: Imported, plain: Imported) -> None:
    said = hostile.text("report.md")
    assert not OBEYED.findall(said)
    assert "owned" in said
    unescaped = re.sub(r"\\.", "", said)
    assert "<" not in unescaped and "](" not in unescaped and "`" not in unescaped
    for sign in ("\n#", "\n|", "\n---"):
        assert said.count(sign) == plain.text("report.md").count(sign), sign
    assert unescaped.count("|") == re.sub(r"\\.", "", plain.text("report.md")).count("|")


def test_latex_is_text(hostile: Imported, plain: Imported) -> None:
    said = hostile.text("tables.tex")
    assert not OBEYED.findall(said)
    assert "owned" in said
    commands = set(re.findall(r"\\[a-zA-Z]+", said)) - set(re.findall(r"\\[a-zA-Z]+", plain.text("tables.tex")))
    assert commands <= {r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater"}
    unescaped = re.sub(r"\\[{}&%$#_]", "", said)
    assert unescaped.count("{") == unescaped.count("}")


def test_no_file_for_spreadsheets_calculates_or_steers_a_terminal(hostile: Imported) -> None:
    files = list(hostile.folder.rglob("*.csv"))
    assert files
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not OBEYED.findall(text), path
        header, *rows = csv.reader(text.splitlines())
        assert rows and all(len(row) == len(header) for row in rows)
        for field in (field for row in rows for field in row):
            assert field[:1] not in set("=+@\t\r") and not re.match(r"-[^\d]", field), field


class Tags(HTMLParser):
    """The elements of a page with the names of their attributes, and what it shows without a script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.shown: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self.shown += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] not in ("script", "style"):
            self.shown.append(data)


def test_the_page_has_the_elements_of_a_plain_one_and_turns_no_number_round(hostile: Imported, plain: Imported) -> None:
    page = Tags(hostile.text("report.html"))
    assert page.found == Tags(plain.text("report.html")).found
    shown = "".join(page.shown)
    assert "<script>alert(1)" in shown and r"\u202eesrever" in shown
    assert not OBEYED.findall(shown)


def test_the_view_shows_that_page(hostile: Imported, plain: Imported) -> None:
    shown, other = (Sweeps(each.folder).page("x").decode() for each in (hostile, plain))
    assert Tags(shown).found == Tags(other).found


def test_raters_are_sent_text_in_json(hostile: Imported) -> None:
    cards = cards_of(read_sweep(hostile.folder))
    deck = [card for place in cards.by_place.values() for card in place]
    with AnnotationServer(hostile.folder, "anna", deck, cards.samples) as server:
        sent = json.dumps(server.state())
        assert sent.isascii() and not OBEYED.findall(sent)
        assert "<script>alert" not in server.page.decode()


LOG = """
import sys
from pathlib import Path
from mindgap.results.sweep import read_sweep
from mindgap.tracking import WandbTracker
for cell in read_sweep(Path(sys.argv[1])).cells:
    print(ascii(WandbTracker(mode="offline").log(cell)))
"""


def test_runs_of_wandb_hold_it_all_as_text(hostile: Imported) -> None:
    process = spawn(hostile.folder, ["-c", LOG, str(hostile.folder)], {})
    out, err = process.communicate(timeout=120)
    assert err == "" and out.count("W&B offline") == 2, out
    runs = read_runs(hostile.folder)
    assert len(runs) == 2 and all(run.exit_code == 0 for run in runs)
    queries = {row["query"] for run in runs for row in run.table("samples")}
    assert queries == {f"{encodable(ALL)} be {wish}" for wish in ("funny", "brief")}
