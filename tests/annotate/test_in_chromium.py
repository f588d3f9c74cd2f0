"""Rating in a real browser: keys rate, every key is saved, a reload goes on, and no response runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import Chromium, Page
from sweeps import HOSTILE

from mindgap.annotate.server import AnnotationServer

Serve = Callable[..., AnnotationServer]

COUNT = "document.querySelector('#count').textContent"
TITLE = "document.querySelector('#title').textContent"
RESPONSE = "document.querySelector('#response').textContent"
ACTIVE = "document.querySelector('fieldset.active').dataset.scale"


def lines(folder: Path) -> list[dict]:
    path = folder / "ratings.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def opened(chromium: Chromium, address: str, **settings: object) -> Page:
    page = chromium.open(address, **settings)  # type: ignore[arg-type]
    page.run("document.querySelector('#help').open && document.querySelector('#help button').click()")
    page.wait("!document.querySelector('#help').open")
    return page


def press(page: Page, keys: str) -> None:
    """Keys one after another, without waiting for anything in between."""
    for key in keys:
        page.press(key, key)


def test_two_keys_rate_a_response_and_each_is_saved_when_pressed(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    server = serve(sweep)
    page = opened(chromium, server.address)
    assert (page.run(TITLE), page.run(ACTIVE)) == ("Response 1 of 12", "behaviour")
    first = page.run(RESPONSE)
    press(page, "4")
    page.wait(f"{ACTIVE} === 'coherence'")
    assert [(line["behaviour"], line["coherence"]) for line in lines(sweep)] == [(4, None)]
    assert page.run(RESPONSE) == first
    press(page, "2")
    page.wait(f"{TITLE} === 'Response 2 of 12'")
    assert [(line["behaviour"], line["coherence"]) for line in lines(sweep)] == [(4, None), (4, 2)]
    assert {line["sample"] for line in lines(sweep)} == {server.deck[0].key}
    assert page.run(RESPONSE) != first and page.run(ACTIVE) == "behaviour"
    assert page.complaints() == []


def test_keys_faster_than_the_page_all_count(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    server = serve(sweep)
    page = opened(chromium, server.address)
    page.run("for (const key of '1223344551') dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))")
    page.wait(f"{COUNT} === '5 of 12 rated'")
    scores = {line["sample"]: (line["behaviour"], line["coherence"]) for line in lines(sweep)}
    assert [scores[card.key] for card in server.deck[:5]] == [(1, 2), (2, 3), (3, 4), (4, 5), (5, 1)]


def test_undo_takes_back_key_by_key_and_skip_goes_on(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    server = serve(sweep)
    page = opened(chromium, server.address)
    press(page, "45s")
    page.wait(f"{TITLE} === 'Response 3 of 12'")
    assert lines(sweep)[-1] | {"time": "", "keys": []} == {
        "rater": "anna",
        "sample": server.deck[1].key,
        "keys": [],
        "behaviour": None,
        "coherence": None,
        "skipped": True,
        "time": "",
    }
    press(page, "u")
    page.wait(f"{TITLE} === 'Response 2 of 12'")
    page.press("Backspace")
    page.wait(f"{TITLE} === 'Response 1 of 12' && {ACTIVE} === 'coherence'")
    press(page, "u")
    page.wait(f"{ACTIVE} === 'behaviour'")
    assert (lines(sweep)[-1]["behaviour"], lines(sweep)[-1]["coherence"]) == (None, None)
    page.wait(f"{COUNT} === '0 of 12 rated'")


def test_a_reload_and_a_new_program_go_on_where_it_was_left(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    page = opened(chromium, serve(sweep).address)
    press(page, "15243")
    page.wait(f"{TITLE} === 'Response 3 of 12' && {ACTIVE} === 'coherence'")
    here = page.run(RESPONSE)
    page.close()
    again = chromium.open(serve(sweep).address)
    assert (again.run(TITLE), again.run(ACTIVE), again.run(RESPONSE)) == ("Response 3 of 12", "coherence", here)
    assert not again.run("document.querySelector('#help').open")


def test_the_end_is_said_and_can_be_undone(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    server = serve(sweep, samples=3)
    page = opened(chromium, server.address)
    press(page, "11" * len(server.deck))
    page.wait("!document.querySelector('#finished').hidden")
    press(page, "3")  # says nothing of a response that is not shown
    press(page, "u")
    page.wait(f"!document.querySelector('main').hidden && {ACTIVE} === 'coherence'")
    assert [line["behaviour"] for line in lines(sweep)].count(3) == 0


def test_a_hostile_response_is_text(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    page = opened(chromium, serve(sweep).address)
    for _ in range(3):
        assert page.run(RESPONSE).endswith(HOSTILE)
        page.press("ArrowRight")
    assert page.run("window.pwned ?? null") is None
    assert page.run("document.querySelectorAll('#response *, #question *').length") == 0
    assert page.complaints() == []


def test_two_people_rate_at_once_each_in_their_own_order(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    servers = {name: serve(sweep, name, 36) for name in ("anna", "ben")}
    pages = {name: opened(chromium, server.address) for name, server in servers.items()}
    for keys in ("4", "5", "3", "2"):
        for page in pages.values():
            press(page, keys)
    for name, page in pages.items():
        page.wait(f"{COUNT} === '2 of 36 rated'")
        scores = {
            line["sample"]: (line["behaviour"], line["coherence"]) for line in lines(sweep) if line["rater"] == name
        }
        assert list(scores.items()) == [(servers[name].deck[0].key, (4, 5)), (servers[name].deck[1].key, (3, 2))]
    orders = [[card.key for card in server.deck] for server in servers.values()]
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]


def test_a_dead_program_is_noticed_and_nothing_is_rated_unseen(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    server = serve(sweep)
    page = opened(chromium, server.address)
    (sweep / "ratings.jsonl").mkdir()  # cannot be written to
    press(page, "4")
    page.wait("!document.querySelector('#trouble').hidden")
    press(page, "123")
    (sweep / "ratings.jsonl").rmdir()
    page.wait(f"document.querySelector('#trouble').hidden && {ACTIVE} === 'coherence'")
    assert [(line["behaviour"], line["coherence"]) for line in lines(sweep)] == [(4, None)]
    assert page.run(TITLE) == "Response 1 of 12"


def test_buttons_do_what_keys_do_and_name_what_they_are(chromium: Chromium, sweep: Path, serve: Serve) -> None:
    page = opened(chromium, serve(sweep).address)
    for name, value in (("Behaviour", 5), ("Coherence", 1)):
        page.run(f"document.querySelector('[aria-label=\"{name} {value} of 5\"]').click()")
    page.wait(f"{COUNT} === '1 of 12 rated'")
    assert page.run("document.activeElement.id") == "title"
    assert page.run("document.querySelector('[role=status]').textContent") == "coherence 1"
    nameless = "[...document.querySelectorAll('button')].filter(b => !(b.ariaLabel || b.textContent.trim())).length"
    assert page.run(nameless) == 0


@pytest.mark.parametrize("width", [375, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_window(chromium: Chromium, sweep: Path, serve: Serve, width: int, dark: bool) -> None:
    page = opened(chromium, serve(sweep).address, width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    bottom = "document.querySelector('[aria-label=\"Behaviour 5 of 5\"]').getBoundingClientRect().bottom"
    assert 0 < page.run(bottom) <= page.run("innerHeight")
