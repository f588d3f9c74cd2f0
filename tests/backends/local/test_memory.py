"""Memory is said truly: by the bytes really used, on the card that has to hold the model; models do not pile up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mindgap.backends.local.memory import estimated_gigabytes, memory_lacks
from mindgap.backends.local.shelf import Shelf
from mindgap.backends.local.sizes import parameters_of
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


def big_file(path: Path, numbers: int, dtype: str, size: int) -> None:
    """A sparse safetensors file of one tensor; it takes no room."""
    header = json.dumps({"w": {"dtype": dtype, "shape": [numbers], "data_offsets": [0, numbers * size]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + numbers * size)


def needed(model: ModelSpec, dtype: str = "auto") -> float:
    """Gigabytes that are said to be needed."""
    estimate = estimated_gigabytes(model, device="cpu", dtype=dtype)
    assert estimate is not None
    return estimate


def test_the_size_is_read_off_the_files_and_the_yaml_cannot_belie_them(tmp_path: Path) -> None:
    big_file(tmp_path / "model.safetensors", 500_000_000_000, "BF16", 2)
    for said in (None, 0.1):
        local = ModelSpec("local", hf_id=str(tmp_path), parameters_b=said)
        (sentence,) = memory_lacks(local, device="cpu", dtype="auto")
        assert "about 2400 GB needed as float32" in sentence  # 500 billion numbers, whatever they are stored as
    assert memory_lacks(ModelSpec("hub", hf_id="x/y"), device="cpu", dtype="auto") == []


def test_quantised_weights_stay_as_they_are(tmp_path: Path) -> None:
    big_file(tmp_path / "model.safetensors", 1_000_000_000, "U8", 1)
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "gptq"}}))
    assert needed(ModelSpec("local", hf_id=str(tmp_path))) == pytest.approx(1.2)


CONFIGS: dict[str, tuple[dict[str, Any], float]] = {
    "Llama-3.1-8B": (
        {"hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 128256, "num_attention_heads": 32}
        | {"num_key_value_heads": 8, "intermediate_size": 14336, "tie_word_embeddings": False},
        8.03,
    ),
    "Qwen2.5-0.5B": (
        {"hidden_size": 896, "num_hidden_layers": 24, "vocab_size": 151936, "num_attention_heads": 14}
        | {"num_key_value_heads": 2, "intermediate_size": 4864, "tie_word_embeddings": True},
        0.494,
    ),
    "Mixtral-8x7B": (
        {"hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 32000, "num_attention_heads": 32}
        | {"num_key_value_heads": 8, "intermediate_size": 14336, "num_local_experts": 8},
        46.7,
    ),
    "Gemma-3-1B in a wrapper": (
        {"tie_word_embeddings": True}
        | {
            "text_config": {"hidden_size": 1152, "num_hidden_layers": 26, "vocab_size": 262144, "head_dim": 256}
            | {"num_attention_heads": 4, "num_key_value_heads": 1, "intermediate_size": 6912}
        },
        1.0,
    ),
}
"""Sizes as released, and billions of parameters as published."""


@pytest.mark.parametrize("name", CONFIGS)
def test_the_size_is_told_by_the_configuration_where_nothing_else_is_there(name: str) -> None:
    config, published = CONFIGS[name]
    assert parameters_of(config) == pytest.approx(published * 1e9, rel=0.02)


def test_of_a_model_that_is_not_downloaded_yet_the_configuration_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--x--y" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--x--y" / "refs").mkdir()
    (tmp_path / "models--x--y" / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text(json.dumps(CONFIGS["Llama-3.1-8B"][0]))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    assert needed(ModelSpec("hub", hf_id="x/y")) == pytest.approx(8.03 * 4 * 1.2, rel=0.02)
    assert needed(ModelSpec("hub", hf_id="x/y"), dtype="bfloat16") == pytest.approx(8.03 * 2 * 1.2, rel=0.02)


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
