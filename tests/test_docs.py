"""What the documentation names is there: files, modules, links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FILE = re.compile(
    r"(?<![\w./-])((?:mindgap|conf|tests|benchmarks|examples|docs)/[\w./-]+\.(?:py|md|yaml|json|jsonl|txt|ipynb|svg))"
)
MODULE = re.compile(r"(?<![\w./])mindgap(?:\.[a-z_]\w*)+(?:\.[A-Z]\w*)?")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
NO_MODULES = ("mindgap.db", "mindgap.yaml")


def pages() -> list[pytest.param]:  # type: ignore[valid-type]
    return [pytest.param(page, id=page.name) for page in PAGES]


@pytest.mark.parametrize("page", pages())
def test_files_that_it_names_exist(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8")))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: Path) -> None:
    links = set(LINK.findall(page.read_text(encoding="utf-8")))
    assert sorted(link for link in links if not (page.parent / link).exists()) == []


@pytest.mark.parametrize("page", pages())
def test_modules_and_classes_that_it_names_can_be_imported(page: Path) -> None:
    missing = []
    for name in sorted(set(MODULE.findall(page.read_text(encoding="utf-8")))):
        module, _, last = name.rpartition(".")
        if name in NO_MODULES or _is_module(name):
            continue
        source = importlib.util.find_spec(module) if _is_module(module) else None
        if source is None or source.origin is None or not re.search(rf"\b{last}\b", Path(source.origin).read_text()):
            missing.append(name)
    assert missing == []


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
