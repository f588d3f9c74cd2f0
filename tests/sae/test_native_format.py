"""What is saved is what is loaded, and only whole files of ours are loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from mindgap.core.errors import UnavailableError  # noqa: E402
from mindgap.sae import native_format  # noqa: E402
from mindgap.sae.sae import SAE  # noqa: E402

SMALL = SAE(
    identity="small@somewhere else",
    layer=12,
    architecture="topk",
    encoder=torch.arange(12.0).reshape(4, 3),
    encoder_bias=torch.tensor([0.1, 0.2, 0.3, 0.4]),
    decoder=torch.arange(12.0).reshape(3, 4).T,  # not contiguous, as foreign decoders are
    decoder_bias=torch.tensor([1 / 3, 0.0, -1.0]),
    centred=False,
    k=2,
    input_scale=0.25,
    scale=torch.tensor([1.0, 2.0, 3.0, 4.0]),
)


def saved(tmp_path: Path, sae: SAE = SMALL, name: str = "sae.safetensors", **options: Any) -> SAE:
    native_format.save(sae, tmp_path / name, **options)
    return native_format.load(tmp_path / name, tmp_path / "cache")


def test_settings_and_tensors_come_back(tmp_path: Path) -> None:
    sae = saved(tmp_path / "a folder that is not there yet")
    for name in native_format.SETTINGS:
        assert getattr(sae, name) == getattr(SMALL, name)
    for name in native_format.TENSORS:
        kept, written = getattr(sae, name), getattr(SMALL, name)
        assert (kept is None) == (written is None)
        if written is not None:  # the small whole numbers of the matrices survive float16, the biases stay float32
            assert torch.equal(kept.float(), written)
    assert [path.name for path in (tmp_path / "a folder that is not there yet").glob("*.unfinished")] == []


def test_identity_is_name_and_content_wherever_the_file_lies(tmp_path: Path) -> None:
    first, second = saved(tmp_path), saved(tmp_path, name="other.safetensors")
    assert first.identity == second.identity
    assert first.identity.startswith("small@") and "somewhere" not in first.identity
    other_layer = saved(tmp_path, replace(SMALL, layer=13), "layer.safetensors")
    other_weight = saved(tmp_path, replace(SMALL, encoder_bias=torch.zeros(4)), "bias.safetensors")
    assert len({first.identity, other_layer.identity, other_weight.identity}) == 3


def test_a_file_that_was_replaced_has_another_identity(tmp_path: Path) -> None:
    """The remembered hash must not outlive the content."""
    assert saved(tmp_path).identity != saved(tmp_path, replace(SMALL, layer=13)).identity


def test_weights_that_the_type_cannot_hold_are_not_saved(tmp_path: Path) -> None:
    large = replace(SMALL, encoder=SMALL.encoder * 1e5)
    with pytest.raises(ValueError, match="encoder would not be finite"):
        native_format.save(large, tmp_path / "sae.safetensors")
    assert torch.equal(saved(tmp_path, large, dtype=torch.float32).encoder, large.encoder)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    foreign, cut, absent = tmp_path / "foreign.safetensors", tmp_path / "cut.safetensors", tmp_path / "no.safetensors"
    save_file({"encoder": torch.zeros(2, 2)}, foreign)
    native_format.save(SMALL, cut)
    cut.write_bytes(cut.read_bytes()[:-20])
    for path in (foreign, cut, absent):
        with pytest.raises(UnavailableError, match=path.name):
            native_format.load(path, tmp_path / "cache")
