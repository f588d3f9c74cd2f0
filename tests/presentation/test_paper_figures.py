"""Figures for a paper: there, vectors, the same each time, and nothing printed over anything else."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from sweeps import KINDS, QUERIES, Kind, compared, write_reports, write_sweep

from mindgap.presentation.paper_figures import paper_figures

pytest.importorskip("matplotlib")

ELEVEN = (
    *KINDS,
    *(Kind("random", "Random direction", f"dose{dose:g}", dose, None, 0.0, dose) for dose in (0.1, 0.2, 0.4)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("outputs") / "study", kinds=ELEVEN, queries=QUERIES[:4], items=5)


def test_the_papers_five_are_among_them_and_are_vectors(folder: Path) -> None:
    paths = write_reports(folder, formats=("svg", "pdf"))
    names = {path.name for path in paths}
    five = ("violin-behaviour", "violin-coherence", "heat-behaviour", "heat-coherence", "heat-accuracy")
    for name in (*five, "accuracy-by-coherence", "tradeoff-accuracy"):
        assert {f"{name}.svg", f"{name}.pdf"} <= names
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"%PDF" if path.suffix == ".pdf" else b"<?xml")
        if path.suffix == ".svg" and not path.name.startswith("heat"):
            assert b"<image" not in content
    again = {path: path.read_bytes() for path in paths}
    write_reports(folder, formats=("svg", "pdf"))
    assert {path: path.read_bytes() for path in paths} == again


def test_no_label_stands_on_another(folder: Path) -> None:
    (group,) = compared(folder).groups
    for name, figure in paper_figures(group):
        figure.draw_without_rendering()
        for axes in figure.axes:
            for labels in (axes.get_yticklabels(), axes.texts):
                boxes = [label.get_window_extent() for label in labels if label.get_text()]
                assert not [pair for pair in combinations(boxes, 2) if _cover(*pair)], name


def _cover(first: object, second: object) -> bool:
    """Whether two boxes share more than a line."""
    a, b = first.padded(-0.6), second.padded(-0.6)  # type: ignore[attr-defined]
    return bool(a.overlaps(b))
