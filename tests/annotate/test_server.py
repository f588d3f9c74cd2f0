"""The page's server lets nobody in but the page it printed the address of."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mindgap.annotate.__main__ import main
from mindgap.annotate.server import AnnotationServer

Serve = Callable[..., AnnotationServer]


def ask(
    server: AnnotationServer, path: str, *, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    data = body if isinstance(body, str) else json.dumps(body)
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, None if body is None else data, sent)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def rate(server: AnnotationServer, body: Any, **headers: str) -> tuple[int, str]:
    return ask(server, f"/{server.token}/ratings", method="POST", body=body, **headers)


def test_a_rating_is_written_with_who_and_when(sweep: Path, serve: Serve) -> None:
    server = serve(sweep)
    card = server.deck[0]
    status, _ = rate(server, {"sample": card.key, "behaviour": 3}, Origin=f"http://127.0.0.1:{server.server_port}")
    (line,) = map(json.loads, (sweep / "ratings.jsonl").read_text().splitlines())
    assert status == 200
    assert (line["rater"], line["sample"], line["behaviour"], line["coherence"]) == ("anna", card.key, 3, None)
    assert line["time"].endswith("+00:00")


def test_who_does_not_know_the_address_reads_and_writes_nothing(sweep: Path, serve: Serve) -> None:
    server = serve(sweep)
    body = {"sample": server.deck[0].key, "behaviour": 3}
    for path in ("/", "/cards", f"/{server.token[:-1]}/cards", "//cards", f"/{'x' * 32}/ratings"):
        assert ask(server, path)[0] == 403
        assert ask(server, path, method="POST", body=body)[0] == 403
    assert not (sweep / "ratings.jsonl").exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # a name that was made to point to this machine
        {"Host": "evil.example:{port}"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Content_Type": "text/plain"},  # what a page may send elsewhere without asking
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Length": "99999999"},
    ],
)
def test_other_pages_cannot_write(sweep: Path, serve: Serve, headers: dict[str, str]) -> None:
    server = serve(sweep)
    filled = {name: value.replace("{port}", str(server.server_port)) for name, value in headers.items()}
    assert rate(server, {"sample": server.deck[0].key, "behaviour": 3}, **filled)[0] in (403, 413, 415, 421)
    assert not (sweep / "ratings.jsonl").exists()


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        {"sample": "unknown", "behaviour": 3},
        {"behaviour": 3},
        {"sample": "{key}", "behaviour": 6},
        {"sample": "{key}", "behaviour": 2.5},
        {"sample": "{key}", "coherence": True},
        {"sample": "{key}", "skipped": "yes"},
        {"sample": "{key}", "rater": "ben"},
        {"sample": ["{key}"]},
    ],
)
def test_what_is_no_rating_is_refused_and_not_written(sweep: Path, serve: Serve, body: Any) -> None:
    server = serve(sweep)
    text = (body if isinstance(body, str) else json.dumps(body)).replace("{key}", server.deck[0].key)
    assert rate(server, text)[0] == 400
    assert not (sweep / "ratings.jsonl").exists()


def test_the_page_is_told_nothing_of_cells(sweep: Path, serve: Serve) -> None:
    server = serve(sweep)
    state = json.loads(ask(server, f"/{server.token}/cards")[1])
    assert set(state["cards"][0]) == {"key", "query", "rubric", "question", "response", "rating"}
    shown = json.dumps([{**card, "response": "", "question": ""} for card in state["cards"]]).lower()
    assert not any(word in shown for word in ("control", "prompting", "vector", "dose", "tiny", "proxy"))
    assert state["coherence"].startswith("How well the response holds together") and "\n5 - " in state["coherence"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{sweep}", "sample=3"], "Did you mean samples?"),
        (["{sweep}", "samples=0"], "samples=0: must be a whole number of at least 1"),
        (["{sweep}", "port=70000"], "at most 65535"),
        (["{sweep}", "overlap=2"], "overlap=2: must be a number from 0 to 1"),
        (["{sweep}", "rater="], "rater=anna"),
        (["{sweep}", "--sumary"], "Did you mean --summary?"),
        (["{sweep}/nowhere"], "there is no such folder"),
        (["{sweep}", "--summary"], "nobody has rated"),
        ([], "usage"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(
    sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main([argument.replace("{sweep}", str(sweep)) for argument in arguments]) == 2
    assert says in "".join(capsys.readouterr())


def test_the_command_prints_its_address_and_ends_on_ctrl_c(sweep: Path) -> None:
    command = [sys.executable, "-m", "mindgap.annotate", str(sweep), "rater=anna", "samples=9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("anna: 9 responses")
        address = urllib.parse.urlsplit(process.stdout.readline().strip())
        assert address.hostname == "127.0.0.1" and len(address.path) > 30
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=10)
        connection.request("GET", address.path)
        assert b"<h1" in connection.getresponse().read()
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate(timeout=30)
    assert process.returncode == 0 and "the same command goes on" in printed and not complaints
