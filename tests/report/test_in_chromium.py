"""The report in a real browser: it works, keeps quiet, asks nobody, and runs nothing that a model wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, Page
from sweeps import HOSTILE, KINDS, QUERIES, write_reports, write_sweep

SHOWN = "document.querySelector('#count').textContent"
TITLE = "document.querySelector('#place h3').firstChild.textContent"
ITEM = "document.querySelector('#place header p').textContent.split(' · ')[0]"


@pytest.fixture
def page(chromium: Chromium, report: Path) -> Iterator[Page]:
    page = chromium.open(report)
    yield page
    assert page.complaints() == [] and page.requests() == []
    page.close()


def draw_all(page: Page) -> None:
    """Draw the figures that nobody has scrolled to."""
    page.run("Promise.all([...document.querySelectorAll('[data-figure]')].map(draw)).then(() => null)")


def search(page: Page, words: str) -> None:
    page.run("document.querySelector('[name=search]').focus()")
    page.type(words)


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const field = document.querySelector('[name={name}]'); field.value = {value!r};"
        " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_every_figure_is_drawn_without_a_word_of_complaint_or_a_request(page: Page) -> None:
    draw_all(page)
    assert page.run("document.querySelectorAll('[data-figure]').length") == page.run(
        "document.querySelectorAll('[data-figure] .main-svg:first-child').length"
    )


def test_tabs_show_one_figure_at_a_time_and_obey_the_keyboard(page: Page) -> None:
    first = "document.querySelector('[role=tablist]')"
    page.run(f"{first}.querySelector('[role=tab]').focus()")
    page.press("ArrowRight")
    assert page.run(f"[...{first}.querySelectorAll('[role=tab]')].map(tab => tab.getAttribute('aria-selected'))") == [
        "false",
        "true",
        *["false"] * (page.run(f"{first}.querySelectorAll('[role=tab]').length") - 2),
    ]
    assert page.run("document.activeElement.getAttribute('aria-selected')") == "true"


def test_a_sample_is_shown_under_every_cell_with_scores_and_the_judge(page: Page) -> None:
    assert page.run("document.querySelectorAll('.card').length") == len(KINDS)
    words = page.run("[...document.querySelectorAll('.card')].map(card => card.textContent)")
    assert all("Behaviour" in text and "Judge: proxy" in text for text in words)
    assert [("not steered" in text) for text in words] == [kind.dose is None for kind in sorted_kinds()]


def sorted_kinds() -> list:
    order = ["Control", "Prompting", "Combined", "Vector"]
    return sorted(KINDS, key=lambda kind: (order.index(kind.label), kind.dose or 0))


def test_search_finds_what_was_said_and_marks_it(page: Page) -> None:
    search(page, "Question 17: traveller")
    page.wait(f"{SHOWN} === '14 of 560'")
    assert page.run(ITEM) == "mmlu/17"
    assert page.run("[...new Set([...document.querySelectorAll('#place mark')].map(m => m.textContent))].length") >= 2
    page.press("Escape")
    assert page.run("document.activeElement.id") == "places"
    assert page.run("document.querySelector('[name=search]').value") == "Question 17: traveller"


def test_filters_and_sorting_agree_with_the_samples(page: Page, sweep: Path) -> None:
    from mindgap.results.files import read_cell

    control = {(r.query, r.item): r for r in read_cell(sweep / "tiny-control-none").records}
    strong = read_cell(sweep / "tiny-vector-dose0.4").records
    lost = [r for r in strong if control[r.query, r.item].correct and r.correct is False and r.query == QUERIES[2]]
    choose(page, "cell", str([kind.method + kind.strength for kind in sorted_kinds()].index("vectordose0.4")))
    choose(page, "query", QUERIES[2])
    choose(page, "show", "lost")
    page.wait(f"{SHOWN} === '{len(lost)} of 560'")
    choose(page, "sort", "behaviour down")
    best = max(r.behaviour for r in lost if r.behaviour is not None)
    page.run("document.querySelector('#places').focus()")
    page.press("Home")
    page.wait(f"document.querySelectorAll('.card')[7].querySelector('dd b')?.textContent === '{best:g}'")


def test_the_keyboard_goes_from_sample_to_sample_and_the_address_follows(page: Page) -> None:
    before = page.run(ITEM)
    page.press("j", "j")
    page.wait(f"{ITEM} !== '{before}'")
    assert page.run("location.hash").startswith("#sample=")
    page.press("k", "k")
    page.wait(f"{ITEM} === '{before}'")
    page.press("/", "/")
    assert page.run("document.activeElement.name") == "search"
    page.press("Escape")
    page.press("End")
    page.wait(f"{ITEM} === 'mmlu/39'")
    assert page.run(TITLE).strip() == QUERIES[-1]


def test_a_link_opens_its_sample_even_through_a_filter(chromium: Chromium, report: Path) -> None:
    first = chromium.open(report)
    first.press("End")
    first.run("document.querySelector('#places').focus()")
    first.press("End")
    address = first.run("location.hash")
    first.close()
    page = chromium.open(report, hash=address)
    assert (page.run(TITLE).strip(), page.run(ITEM)) == (QUERIES[-1], "mmlu/39")
    choose(page, "query", QUERIES[0])
    page.wait(f"{SHOWN} === '40 of 560'")
    page.run("location.hash = '#sample=0'")
    page.run(f"location.hash = {address!r}")
    page.wait(f"{ITEM} === 'mmlu/39'")
    assert page.complaints() == []
    page.close()


def test_what_a_model_writes_is_shown_and_never_run(chromium: Chromium, tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study", kinds=KINDS[:4], queries=(HOSTILE, "be terse"), items=4, hostile=True)
    (path,) = write_reports(folder)
    page = chromium.open(path)
    draw_all(page)
    search(page, "onerror")
    page.run("new Promise(done => setTimeout(done, 400))")
    page.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.run("document.querySelector('.card .prose').textContent").endswith(HOSTILE)
    assert page.run("window.pwned") is None
    assert page.run("document.querySelectorAll('img, iframe, object, embed, base').length") == 0
    assert page.requests() == [] and page.complaints() == []
    page.close()


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling_and_dark_is_dark(chromium: Chromium, report: Path, dark: bool) -> None:
    page = chromium.open(report, width=390, height=844, dark=dark)
    draw_all(page)
    assert page.run("document.documentElement.scrollWidth") <= 390
    red = int(page.run("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0]"))
    assert red < 60 if dark else red > 200
    page.close()


def test_twenty_thousand_samples_are_there_in_seconds(chromium: Chromium, tmp_path: Path) -> None:
    queries = [f"{query}, {number}" for query in QUERIES for number in range(2)]
    folder = write_sweep(tmp_path / "large", kinds=KINDS, queries=queries, items=90)
    (path,) = write_reports(folder)
    began = time.monotonic()
    page = chromium.open(path)
    loaded = time.monotonic() - began
    assert page.run(SHOWN) == "2,520 of 2,520"
    search(page, "Question 77:")
    page.wait(f"{SHOWN} === '28 of 2,520'", seconds=5)
    assert page.run("document.querySelectorAll('.place-row').length") < 60  # only what is in view
    assert loaded < 30  # a few seconds; far more would mean that every sample is laid out
    assert page.complaints() == []
    page.close()
