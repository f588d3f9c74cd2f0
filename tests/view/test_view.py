"""The live view: a sweep's page while it runs, for nobody but who was told the address."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, chromium_path
from sweeps import KINDS, make_cell, write_sweep

from mindgap.results.files import write_cell
from mindgap.results.planned import write_planned
from mindgap.view.__main__ import main
from mindgap.view.server import ViewServer
from mindgap.view.sweeps import Sweeps

SMALL: dict[str, Any] = {"queries": ("be funny", "be terse"), "items": 3}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of three cells of which one is done."""
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:1], **SMALL)
    write_planned(folder, [make_cell(folder, kind, **SMALL) for kind in KINDS[:3]])
    return folder


@pytest.fixture
def server(sweep: Path) -> Iterator[ViewServer]:
    with ViewServer(Sweeps(sweep.parent)) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield running
        running.shutdown()


def ask(server: ViewServer, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("GET", path, None, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_the_list_says_how_far_each_sweep_is(server: ViewServer) -> None:
    status, text = ask(server, f"/{server.token}/sweeps")
    (only,) = json.loads(text)["sweeps"]
    assert (status, only["name"], only["done"], only["planned"]) == (200, "study", 1, 3)
    assert only["says"].startswith("stopped: 1 of 3 cells")


def test_nobody_else_is_let_in(server: ViewServer) -> None:
    assert ask(server, "/wrong/sweeps")[0] == 403
    assert ask(server, f"/{server.token}/sweeps", Host="evil.example")[0] == 421
    assert ask(server, f"/{server.token}/sweeps", Origin="http://evil.example")[0] == 403
    assert ask(server, f"/{server.token}/report/..%2f..%2fetc")[0] == 404


def test_a_page_is_made_anew_with_every_cell_and_nothing_is_written(server: ViewServer, sweep: Path) -> None:
    before = sorted(sweep.iterdir())
    first = ask(server, f"/{server.token}/report/study")
    assert first[0] == 200 and "There is one finished cell, Control" in first[1]
    assert sorted(sweep.iterdir()) == before
    write_cell(make_cell(sweep, KINDS[1], **SMALL))
    assert "Prompting" in ask(server, f"/{server.token}/report/study")[1].partition("<nav")[0]


@pytest.mark.skipif(chromium_path() is None, reason="needs Chromium")
def test_a_browser_shows_the_next_cell_by_itself(server: ViewServer, sweep: Path, tmp_path: Path) -> None:
    inside = "document.querySelector('#report').contentDocument?.querySelector('.headline')?.textContent ?? ''"
    with Chromium(chromium_path(), tmp_path / "profile") as browser:
        page = browser.open(server.address, hash="#study")
        page.wait(f"({inside}).includes('one finished cell')", seconds=60)
        write_cell(make_cell(sweep, KINDS[1], **SMALL))
        page.wait(f"({inside}).includes('Prompting')", seconds=60)
        assert page.complaints() == [] and page.requests()
        assert all(url.startswith(server.address) for url in page.requests())


def test_a_folder_without_sweeps_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "is no sweep and holds none" in capsys.readouterr().err
