"""Residual streams that are kept are those of the model, the texts and the block that they are kept for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mindgap.backends.local.engine import Engine  # noqa: E402
from mindgap.training.activations import harvest  # noqa: E402
from mindgap.training.corpus import Text  # noqa: E402

TEXTS = [Text((), f"some text, number {number}") for number in range(6)]


def kept(engine: Engine, path: Path, *, model: str, layer: int = 1) -> tuple[np.ndarray, list[int]]:
    """The streams, and what was told of progress: it begins with what was there already."""
    told: list[int] = []
    return np.array(harvest(engine, TEXTS, layer, path, told.append, model=model)), told


def test_streams_of_another_model_or_block_are_not_gone_on_with(small_model: SimpleNamespace, tmp_path: Path) -> None:
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=4)
    path = tmp_path / "activations.npy"
    streams, told = kept(engine, path, model="a@1")
    assert told[0] == 0 and told[-1] == len(streams) > 0
    again, told = kept(engine, path, model="a@1")
    assert told == [len(streams)] and np.array_equal(again, streams)
    _, told = kept(engine, path, model="b@1")
    assert told[0] == 0 and told[-1] == len(streams)
    _, told = kept(engine, path, model="b@1", layer=2)
    assert told[0] == 0


def test_notes_are_whole_or_absent(small_model: SimpleNamespace, tmp_path: Path) -> None:
    engine = Engine(small_model.model, small_model.tokenizer, max_rows=4)
    kept(engine, tmp_path / "activations.npy", model="a@1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activations.json", "activations.npy"]
