"""A release is found where it lies, or it is said how to get it; neither needs torch or a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindgap.core.errors import UnavailableError
from mindgap.sae.releases import KNOWN, _saelens_list, load_sae, sae_lacks

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


LIST = """\
gemma-scope-2b-pt-res-canonical:
  conversion_func: gemma_2
  model: gemma-2-2b
  repo_id: google/gemma-scope-2b-pt-res
  saes:
  - id: layer_20/width_16k/canonical
    path: layer_20/width_16k/average_l0_71
gpt2-small-res-jb:
  conversion_func: null
  model: gpt2-small
  repo_id: jbloom/GPT2-Small-SAEs-Reformatted
  saes:
  - id: blocks.8.hook_resid_pre
    path: blocks.8.hook_resid_pre
others:
  conversion_func: dictionary_learning_1
  model: pythia
  repo_id: canrager/lm_sae
  saes:
  - id: a
    path: a
"""


@pytest.fixture
def saelens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed `sae_lens` that cannot be imported, with a list in the form of its own."""
    package = tmp_path / "site" / "sae_lens"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('transformer_lens')")
    (package / "pretrained_saes.yaml").write_text(LIST)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    _saelens_list.cache_clear()
    yield
    _saelens_list.cache_clear()


@pytest.mark.usefixtures("saelens")
def test_a_name_of_saelens_list_is_found_where_it_lies_on_the_hub(hub: Path) -> None:
    gemma = "saelens:gemma-scope-2b-pt-res-canonical/layer_20/width_16k/canonical"
    assert "hf download google/gemma-scope-2b-pt-res layer_20/width_16k/average_l0_71/params.npz" in sae_lacks(gemma)[0]
    put(hub, "google/gemma-scope-2b-pt-res", "a" * 40, "layer_20/width_16k/average_l0_71/params.npz")
    assert sae_lacks(gemma) == []
    assert "blocks.8.hook_resid_pre/cfg.json" in sae_lacks("saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre")[0]


@pytest.mark.usefixtures("saelens", "hub")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt2-small-res/a", "Did you mean gpt2-small-res-jb"),
        ("gpt2-small-res-jb/blocks.9.hook_resid_pre", "Did you mean blocks.8.hook_resid_pre"),
        ("gpt2-small-res-jb", "calls nothing"),
        ("others/a", "dictionary_learning_1"),
    ],
)
def test_a_name_that_is_not_on_the_list_or_not_read_here_is_said_to_be(name: str, words: str) -> None:
    assert words in sae_lacks(f"saelens:{name}")[0]


def test_without_saelens_its_names_cannot_be_known(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindgap.sae.releases._saelens_list", dict)
    assert "pip install --no-deps sae-lens" in sae_lacks("saelens:gpt2-small-res-jb/a")[0]
