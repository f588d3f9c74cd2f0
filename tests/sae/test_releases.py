"""A release is found where it lies, or it is said how to get it; neither needs torch or a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mindgap.core.errors import UnavailableError
from mindgap.sae.releases import KNOWN, load_sae, sae_lacks

GOODFIRE = KNOWN[0]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert sae_lacks(GOODFIRE.repository), "the real cache is still in use"
    return tmp_path / "hub"


def put(hub: Path, repository: str, revision: str, file: str) -> Path:
    """A file in the cache's layout, with `main` pointing at its revision."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    path = folder / "snapshots" / revision / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(revision)
    return path


def save_small(path: Path, *, layers: int = 4) -> None:
    torch = pytest.importorskip("torch")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "encoder_linear.weight": torch.ones(layers, 2),
            "encoder_linear.bias": torch.zeros(layers),
            "decoder_linear.weight": torch.ones(2, layers),
            "decoder_linear.bias": torch.zeros(2),
        },
        path,
    )


def test_a_missing_download_is_named_with_the_command_that_fetches_what_is_looked_for(hub: Path) -> None:
    command = f"hf download {GOODFIRE.repository} {GOODFIRE.file} --revision {GOODFIRE.revision}"
    assert command in sae_lacks(GOODFIRE.repository)[0]
    with pytest.raises(UnavailableError, match="hf download"):
        load_sae(GOODFIRE.repository)
    put(hub, GOODFIRE.repository, GOODFIRE.revision, GOODFIRE.file)
    assert sae_lacks(GOODFIRE.repository) == []


def test_a_pinned_release_is_not_another_revision_of_it(hub: Path) -> None:
    put(hub, GOODFIRE.repository, "0" * 40, GOODFIRE.file)
    assert sae_lacks(GOODFIRE.repository)
    assert sae_lacks(f"{GOODFIRE.repository}@main") == []


def test_a_known_release_loads_from_the_cache_with_the_layer_its_name_says(hub: Path, tmp_path: Path) -> None:
    path = put(hub, GOODFIRE.repository, GOODFIRE.revision, GOODFIRE.file)
    save_small(path)
    sae = load_sae(GOODFIRE.repository, tmp_path / "cache")
    assert sae.layer == 19
    copy = tmp_path / "elsewhere" / GOODFIRE.file
    save_small(copy)
    assert load_sae(str(copy), tmp_path / "cache").identity == sae.identity


def test_a_saelens_release_needs_weights_and_settings(hub: Path) -> None:
    release = "owner/saes/layer_5/width_16k"
    assert "layer_5/width_16k/sae_weights.safetensors layer_5/width_16k/cfg.json" in sae_lacks(release)[0]
    put(hub, "owner/saes", "a" * 40, "layer_5/width_16k/sae_weights.safetensors")
    assert sae_lacks(release)
    put(hub, "owner/saes", "a" * 40, "layer_5/width_16k/cfg.json")
    assert sae_lacks(release) == [] and sae_lacks(f"{release}@{'a' * 40}") == []
    assert sae_lacks(f"{release}@{'b' * 40}")


def test_folders_and_files_on_disk(tmp_path: Path) -> None:
    save_small(tmp_path / "some-l3.pth")
    assert sae_lacks(str(tmp_path)) == [] == sae_lacks(str(tmp_path / "some-l3.pth"))
    assert load_sae(str(tmp_path), tmp_path / "cache").layer == 3
    save_small(tmp_path / "some-l4.pth")
    assert "some-l3.pth, some-l4.pth" in sae_lacks(str(tmp_path))[0]
    assert "no file or folder" in sae_lacks(str(tmp_path / "absent"))[0]


@pytest.mark.parametrize("release", ["mindgap:no_such_model", "neither-path-nor-repository", ""])
def test_what_is_no_release_is_said_to_be_none(release: str) -> None:
    assert len(sae_lacks(release)) == 1
    with pytest.raises(UnavailableError, match="Missing"):
        load_sae(release)


def test_looking_for_a_release_loads_no_torch() -> None:
    code = (
        "import sys; from mindgap.sae.releases import sae_lacks; sae_lacks('a/b/c'); sae_lacks('mindgap:tiny');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
