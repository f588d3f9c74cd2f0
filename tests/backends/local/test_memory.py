"""Memory is said truly: by the bytes really used, on the card that has to hold the model; models do not pile up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mindgap.backends.local.memory import memory_lacks
from mindgap.backends.local.shelf import Shelf
from mindgap.core.model import ModelSpec

EIGHT = ModelSpec("8b", hf_id="x/y", parameters_b=8.0)
GIB = 1024


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Pretends that the driver reports cards of so many MiB."""

    def pretend(*sizes: int) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text("#!/bin/sh\n" + "\n".join(f"echo {size}" for size in sizes) + "\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return pretend


def test_a_cpu_loads_float32_and_needs_four_bytes_a_parameter() -> None:
    (sentence,) = memory_lacks(ModelSpec("huge", hf_id="x/y", parameters_b=1000.0), device="cpu", dtype="auto")
    assert "about 4800 GB needed as float32" in sentence and "of main memory" in sentence
    (half,) = memory_lacks(ModelSpec("huge", hf_id="x/y", parameters_b=1000.0), device="cpu", dtype="bfloat16")
    assert "about 2400 GB needed as bfloat16" in half


def test_one_card_has_to_hold_the_model_however_many_there_are(cards) -> None:  # type: ignore[no-untyped-def]
    cards(16 * GIB, 16 * GIB)  # 34 GB in all, and 19 are needed
    (sentence,) = memory_lacks(EIGHT, device="auto", dtype="auto")
    assert sentence == "memory: about 19 GB needed as bfloat16, 17 GB on the first GPU, which has to hold it alone"
    assert memory_lacks(EIGHT, device="balanced", dtype="auto") == []
    assert "on GPU 1, which has to hold it alone" in memory_lacks(EIGHT, device="cuda:1", dtype="auto")[0]


def test_a_card_that_holds_it_is_enough(cards) -> None:  # type: ignore[no-untyped-def]
    cards(24 * GIB)
    assert memory_lacks(EIGHT, device="auto", dtype="auto") == []
    assert memory_lacks(EIGHT, device="auto", dtype="float32") != []


def test_the_size_is_read_off_the_files_where_no_yaml_tells_it(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(10**12)  # sparse: takes no room
    (sentence,) = memory_lacks(ModelSpec("local", hf_id=str(tmp_path)), device="cpu", dtype="auto")
    assert "about 2400 GB needed" in sentence
    assert memory_lacks(ModelSpec("hub", hf_id="x/y"), device="cpu", dtype="auto") == []


class Model:
    """Something that is opened."""


def test_models_of_a_sweep_do_not_all_stay_open() -> None:
    shelf: Shelf[Model] = Shelf(most=2)
    first = shelf.get("a", Model)
    assert shelf.get("a", Model) is first
    shelf.get("b", Model)
    assert shelf.get("a", Model) is first  # used last, so "b" goes
    shelf.get("c", Model)
    assert len(shelf) == 2 and shelf.get("a", Model) is first


def test_where_memory_is_short_the_former_model_goes_before_the_next_is_loaded() -> None:
    open_now: list[int] = []
    shelf: Shelf[Model] = Shelf(most=5)

    def counted() -> Model:
        open_now.append(len(shelf))
        return Model()

    for name in ("a", "b", "c"):
        shelf.get(name, counted, fits=lambda: False)
    assert open_now == [0, 0, 0]
