"""Gemma Scope's own files, laid out as on the hub and made small here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from mindgap.core.errors import UnavailableError  # noqa: E402
from mindgap.sae.releases import load_sae, sae_lacks  # noqa: E402
from mindgap.sae.sae import SAE  # noqa: E402

FEATURES, D_MODEL = 40, 8
X = torch.randn(3, 5, D_MODEL, generator=torch.Generator().manual_seed(1))
FIRST = "layer_20/width_16k/average_l0_71"
SECOND = "resid_post/layer_17_width_16k_l0_medium"
CONFIG: dict[str, Any] = {
    "hf_hook_point_in": "model.layers.17.output",
    "hf_hook_point_out": "model.layers.17.output",
    "width": FEATURES,
    "model_name": "google/gemma-3-1b-it",
    "architecture": "jump_relu",
    "l0": 60,
    "affine_connection": False,
    "type": "sae",
}


def arrays() -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(0)
    shapes = {"W_enc": (D_MODEL, FEATURES), "W_dec": (FEATURES, D_MODEL), "b_enc": (FEATURES,), "b_dec": (D_MODEL,)}
    made = {name: drawn.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return made | {"threshold": np.abs(drawn.standard_normal(FEATURES)).astype(np.float32)}


def first(root: Path, release: str = "gemma-scope-2b-pt-res", below: str = FIRST, **more: np.ndarray) -> Path:
    folder = root / release / below
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **(arrays() | more))  # type: ignore[arg-type]
    return folder


def second(folder: Path, config: dict[str, Any] = CONFIG, **more: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name.replace("W_", "w_"): torch.from_numpy(array) for name, array in (arrays() | more).items()}
    save_file(tensors, folder / "params.safetensors")
    save_file({"tokens": torch.zeros(2)}, folder / "examples.safetensors")  # lies beside it in the release
    return folder


def is_the_paper_s(sae: SAE) -> None:
    """f(x) = JumpReLU(W_enc x + b_enc), and the reconstruction W_dec f(x) + b_dec: nothing is subtracted first."""
    own = {name: torch.from_numpy(array) for name, array in arrays().items()}
    before = X @ own["W_enc"] + own["b_enc"]
    expected = torch.relu(before) * (before > own["threshold"])
    torch.testing.assert_close(sae.encode(X), expected)
    torch.testing.assert_close(sae.decode(expected), expected @ own["W_dec"] + own["b_dec"])
    assert 0 < float((expected > 0).float().mean()) < 0.5


def test_the_first_is_read_from_a_folder_or_its_file(tmp_path: Path) -> None:
    folder = first(tmp_path)
    assert sae_lacks(str(folder)) == []
    sae = load_sae(str(folder), tmp_path / "cache")
    is_the_paper_s(sae)
    assert sae.layer == 20 and sae.identity.startswith(f"gemma-scope-2b-pt-res.{FIRST.replace('/', '.')}@")
    assert load_sae(str(folder / "params.npz"), tmp_path / "cache").identity == sae.identity


def test_the_second_is_read_beside_its_examples(tmp_path: Path) -> None:
    sae = load_sae(str(second(tmp_path / "gemma-scope-2-1b-it" / SECOND)), tmp_path / "cache")
    is_the_paper_s(sae)
    assert sae.layer == 17 and sae.identity.startswith("gemma-3-1b-it.layer_17_width_16k_l0_medium@")
    larger = CONFIG | {"hf_hook_point_in": "model.language_model.layers.9.output", "hf_hook_point_out": None}
    assert load_sae(str(second(tmp_path / "larger", larger)), tmp_path / "cache").layer == 9


def test_both_by_their_names_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for repository, below, files in (
        ("google/gemma-scope-2b-pt-res", FIRST, ["params.npz"]),
        ("google/gemma-scope-2-1b-it", SECOND, ["params.safetensors", "config.json"]),
    ):
        (missing,) = sae_lacks(f"{repository}/{below}")
        assert missing.endswith(f"hf download {repository} " + " ".join(f"{below}/{file}" for file in files))
        kept = tmp_path / f"models--{repository.replace('/', '--')}"
        (kept / "refs").mkdir(parents=True)
        (kept / "refs" / "main").write_text("a" * 40)
        snapshot = kept / "snapshots" / ("a" * 40)
        if files == ["params.npz"]:
            first(snapshot.parent, snapshot.name, below)
        else:
            second(snapshot / below)
        assert sae_lacks(f"{repository}/{below}") == []
        is_the_paper_s(load_sae(f"{repository}/{below}", tmp_path / "cache"))


@pytest.mark.parametrize(
    ("release", "below", "said"),
    [
        ("gemma-scope-2b-pt-mlp", FIRST, "the output of an MLP"),
        ("gemma-scope-2b-pt-att", FIRST, "attention heads"),
        ("gemma-scope-2b-pt-transcoders", FIRST, "the input of an MLP"),
        ("gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6", "the embeddings"),
        ("downloads", FIRST, "so its folders must, as in the release: gemma-scope-2b-pt-res/layer_20"),
        ("gemma-scope-2b-pt-res", "width_16k", "so its folders must"),
    ],
)
def test_what_the_first_reads_elsewhere_is_refused_by_name(tmp_path: Path, release: str, below: str, said: str) -> None:
    with pytest.raises(UnavailableError, match=said):
        load_sae(str(first(tmp_path, release, below)), tmp_path / "cache")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hf_hook_point_in": "model.layers.17.mlp.output", "hf_hook_point_out": None}, "not the output of a block"),
        ({"hf_hook_point_out": "model.layers.17.post_feedforward_layernorm.output"}, "not an SAE"),
        ({"type": "transcoder"}, "it is a transcoder"),
        ({"affine_connection": True}, "not an SAE"),
        ({"architecture": "topk"}, "architecture='topk'"),
    ],
)
def test_what_the_second_is_beside_an_sae_of_blocks_is_refused(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(UnavailableError, match=said):
        load_sae(str(second(tmp_path / "one", CONFIG | change)), tmp_path / "cache")


def test_unknown_arrays_damage_and_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="it holds affine, whose meaning is not known"):
        load_sae(str(first(tmp_path / "a", affine=np.ones(2))), tmp_path / "cache")
    broken = first(tmp_path / "b") / "params.npz"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(UnavailableError, match="cannot be read as an SAE"):
        load_sae(str(broken), tmp_path / "cache")
    with pytest.raises(UnavailableError, match="allow_pickle=False"):
        load_sae(str(first(tmp_path / "c", threshold=np.array([print], dtype=object))), tmp_path / "cache")
