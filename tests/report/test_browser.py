"""What the page's sample browser reads."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from sweeps import HOSTILE, KINDS, make_cell

from mindgap.report.browser import packed, payload
from mindgap.results.sweep import SweepResults, grouped


def data(*, max_samples: int = 10_000, kinds: Any = KINDS[:3], **changes: Any) -> Any:
    cells = [make_cell(Path("study"), kind, queries=("be funny", "be terse"), items=10, **changes) for kind in kinds]
    return payload(SweepResults(Path("study"), grouped(cells)), max_samples=max_samples)


def test_a_sample_is_found_under_its_cell_and_place_with_its_own_text() -> None:
    content = data()
    samples, texts = content["samples"], content["texts"]
    cell = make_cell(Path("study"), KINDS[1], queries=("be funny", "be terse"), items=10)
    for record in cell.records:
        rows = [
            row
            for row in range(len(samples["cell"]))
            if content["cells"][samples["cell"][row]]["name"] == "Prompting"
            and texts[content["places"][samples["place"][row]]["query"]] == record.query
            and texts[content["places"][samples["place"][row]]["item"]] == record.item
        ]
        assert [texts[samples["response"][row]] for row in rows] == [record.response]
        assert [samples["behaviour"][row] for row in rows] == [record.behaviour]


def test_every_text_is_kept_once() -> None:
    texts = data()["texts"]
    assert len(texts) == len(set(texts))


def test_links_to_samples_last_as_cells_come_and_go() -> None:
    few, many = data(kinds=KINDS[:2]), data(kinds=KINDS)
    assert [place["id"] for place in few["places"]] == [place["id"] for place in many["places"]]
    assert len({place["id"] for place in many["places"]}) == 20


def test_a_page_that_would_be_too_large_holds_whole_places_and_says_how_many() -> None:
    content = data(max_samples=30)
    assert content["total"] == 20 and len(content["places"]) == 10
    assert sorted(content["samples"]["place"]) == sorted([*range(10)] * 3)  # all three cells at each
    assert {content["texts"][place["query"]] for place in content["places"]} == {"be funny", "be terse"}


def test_packed_data_holds_no_markup_and_comes_back_whole() -> None:
    content = data(hostile=True)
    encoded = packed(content)
    assert not set(encoded) & set("<>&\"'")
    again = json.loads(gzip.decompress(base64.b64decode(encoded)))
    assert again == content and any(HOSTILE in text for text in again["texts"])
