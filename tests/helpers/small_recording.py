"""Small recordings, written as a user would have them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from mindgap.results.imports.columns import ColumnMap
from mindgap.results.imports.maps import build_map

PLAIN = "You are a helpful assistant."
QUERIES = ("be funny", "be concise")
PROMPTS = ("Why is the sky blue?", "What is tea?", "Name a river.")
ARMS = ("Nothing", "Asked", "Steered")


def rows() -> list[dict[str, Any]]:
    """A clean recording: three methods, two queries, three prompts, a row for each."""
    return [
        {
            "wish": query,
            "arm": arm,
            "system": f"When answering, please {query}." if arm == "Asked" else PLAIN,
            "user": prompt,
            "reply": f"{arm} on {prompt} ({query})",
            "shown": 2 + ARMS.index(arm),
            "sense": 4,
        }
        for arm in ARMS
        for query in QUERIES
        for prompt in PROMPTS
    ]


def settings(**changes: Any) -> dict[str, Any]:
    columns = {
        "query": "wish",
        "method": "arm",
        "prompt": "user",
        "response": "reply",
        "behaviour": "shown",
        "coherence": "sense",
        "system_prompt": "system",
    }
    methods = {
        "Nothing": {"name": "control", "label": "Control", "asks": False},
        "Asked": {"name": "prompt", "label": "Prompting", "asks": True},
        "Steered": {"name": "autosteer", "label": "Auto Steer", "asks": False, "strength": "native"},
    }
    own = {key: value for key, value in changes.items() if key != "columns"}
    whole = {"source": "a test", "model": "small", "judge": "somebody", "methods": methods, **own}
    return {**whole, "columns": {**columns, **changes.get("columns", {})}}


@pytest.fixture
def clean() -> list[dict[str, Any]]:
    return rows()


@pytest.fixture
def mapped() -> Callable[..., ColumnMap]:
    """The map of the clean recording, with changes."""
    return lambda **changes: build_map(settings(**changes))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Iterable[dict[str, Any]]], Path]:
    """Writes rows to a CSV file."""

    def write(some: Iterable[dict[str, Any]], name: str = "recording.csv") -> Path:
        some = list(some)
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in some for key in row)))
            writer.writeheader()
            writer.writerows(some)
        return path

    return write
