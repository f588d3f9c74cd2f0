"""Llama Scope's own files give what SAELens' way of loading them gives; what is no such SAE is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindgap.core.errors import UnavailableError
from mindgap.sae.releases import load_sae, sae_lacks

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402 - needs torch

D_MODEL, FEATURES, NORM, THRESHOLD = 16, 40, 7.0, 0.6


def settings(**changed: Any) -> dict[str, Any]:
    return {
        "act_fn": "jumprelu",
        "d_model": D_MODEL,
        "d_sae": FEATURES,
        "hook_point_in": "blocks.15.hook_resid_post",
        "hook_point_out": "blocks.15.hook_resid_post",
        "jump_relu_threshold": THRESHOLD,
        "dataset_average_activation_norm": {"in": NORM, "out": NORM},
        **changed,
    }


def write(folder: Path, **changed: Any) -> dict[str, np.ndarray]:
    """An SAE in the layout of `fnlp/Llama3_1-8B-Base-LXR-8x`; its tensors."""
    draw = np.random.default_rng(0)
    shapes = {
        "encoder.weight": (FEATURES, D_MODEL),
        "encoder.bias": (FEATURES,),
        "decoder.weight": (D_MODEL, FEATURES),
        "decoder.bias": (D_MODEL,),
    }
    tensors = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "hyperparams.json").write_text(json.dumps(settings(**changed)))
    save_file(
        {name: torch.from_numpy(tensor) for name, tensor in tensors.items()},
        folder / "checkpoints" / "final.safetensors",
    )
    return tensors


def test_activations_and_reconstruction_are_those_of_saelens_arithmetic(tmp_path: Path) -> None:
    """SAELens folds the factor into the weights, and multiplies the threshold by it."""
    folder = tmp_path / "Llama3_1-8B-Base-L15R-8x"
    tensors = write(folder)
    sae = load_sae(str(folder), tmp_path / "cache")
    factor = D_MODEL**0.5 / NORM
    x = np.random.default_rng(1).normal(size=(50, D_MODEL)).astype(np.float32)
    before = x @ (factor * tensors["encoder.weight"].T) + tensors["encoder.bias"]
    active = np.where(before > THRESHOLD * factor, np.maximum(before, 0), 0)
    assert 0.1 < (active > 0).mean() < 0.9 and ((before > 0) & (active == 0)).any(), "the threshold matters here"
    again = active @ (tensors["decoder.weight"].T / factor) + tensors["decoder.bias"] / factor
    found = sae.encode(torch.from_numpy(x))
    assert sae.layer == 15 and sae.identity.startswith("Llama3_1-8B-Base-L15R-8x.blocks.15")
    np.testing.assert_allclose(found.numpy(), active, atol=1e-5)
    np.testing.assert_allclose(sae.decode(found).numpy(), again, atol=1e-4)


def test_the_weights_file_may_be_named_and_another_threshold_is_another_sae(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b" / "a", jump_relu_threshold=0.7)
    one = load_sae(str(tmp_path / "a" / "checkpoints" / "final.safetensors"), tmp_path / "cache")
    assert one.identity == load_sae(str(tmp_path / "a"), tmp_path / "cache").identity
    assert one.identity != load_sae(str(tmp_path / "b" / "a"), tmp_path / "cache").identity


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hook_point_in": "blocks.15.hook_mlp_out", "hook_point_out": "blocks.15.hook_mlp_out"}, "not the residual"),
        ({"hook_point_out": "blocks.15.hook_mlp_out"}, "transcoder"),
        ({"act_fn": "topk"}, "act_fn='topk'"),
        ({"jump_relu_threshold": "high"}, "jump_relu_threshold='high'"),
        ({"dataset_average_activation_norm": None}, "dataset_average_activation_norm=None"),
        ({"d_model": 0}, "d_model=0"),
    ],
)
def test_what_it_is_not_is_refused_by_name(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    write(tmp_path / "sae", **changed)
    with pytest.raises(UnavailableError, match=words):
        load_sae(str(tmp_path / "sae"), tmp_path / "cache")


def test_on_the_hub_it_is_two_files() -> None:
    lacks = sae_lacks("fnlp/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L15R-8x")[0]
    assert "Llama3_1-8B-Base-L15R-8x/checkpoints/final.safetensors" in lacks
    assert "Llama3_1-8B-Base-L15R-8x/hyperparams.json" in lacks
