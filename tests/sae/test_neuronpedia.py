"""Labels of Neuronpedia from files as its exports are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from small_catalogue import small_catalogue

from mindgap.core.errors import ConfigError
from mindgap.sae.labels import STATISTICS, labelled
from mindgap.sae.neuronpedia import neuronpedia_labels, with_neuronpedia


def explanation(index: int, description: str, **more: Any) -> dict[str, Any]:
    """A line of an explanation batch."""
    own = {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": str(index), "description": description}
    return own | {"explanationModelName": "gpt-4o-mini", "typeName": "oai_token-act-pair"} | more


ENTRIES = [explanation(1, " references to\n boats"), explanation(0, "jokes"), explanation(0, "laughter")]
EXPECTED = {0: "jokes", 1: "references to boats"}


def lines(entries: list[Any]) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def test_lines_lists_gzipped_files_and_folders_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "explanations"
    folder.mkdir()
    (tmp_path / "a.jsonl").write_text(lines(ENTRIES))
    (tmp_path / "a.json").write_text(json.dumps(ENTRIES))
    for number, some in enumerate((ENTRIES[:2], ENTRIES[2:])):
        (folder / f"batch-{number}.jsonl.gz").write_bytes(gzip.compress(lines(some).encode()))
    for path in (tmp_path / "a.jsonl", tmp_path / "a.json", folder):
        assert neuronpedia_labels(path) == EXPECTED


def test_features_without_an_explanation_keep_their_label() -> None:
    before = labelled(small_catalogue())
    after = with_neuronpedia(before, EXPECTED)
    assert after.labels[:3] == ("jokes", "references to boats", before.labels[2])
    assert [after.feature(n).labeller for n in range(3)] == ["Neuronpedia", "Neuronpedia", STATISTICS]
    assert after.feature(0).words == before.feature(0).words
    with pytest.raises(ConfigError, match="labels name feature 99; the SAE has features 0 to"):
        with_neuronpedia(before, {99: "too far"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lines([{"index": 1}]), "line 1: an explanation has index and description"),
        (lines([explanation(1, "a"), ["no"]]), "line 2: an explanation has"),
        (lines([{"index": "x", "description": "a"}]), "index='x' is no number"),
        (lines([explanation(1, "a"), explanation(2, "b", layer="9-res")]), "several SAEs .gemma-2-2b/20-gemmascope"),
        ("{", "line 1: "),
    ],
)
def test_what_is_no_explanation_is_named(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=said):
        neuronpedia_labels(tmp_path / "a.jsonl")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(ConfigError, match="there is no such file"):
            neuronpedia_labels(path)
    (tmp_path / "a.jsonl.gz").write_text("no gzip")
    with pytest.raises(ConfigError, match="cannot be read"):
        neuronpedia_labels(tmp_path / "a.jsonl.gz")
