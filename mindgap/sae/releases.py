"""Where a model's SAE lies: `model.sae` names a release, which is found here. Importing this module loads no torch.

    mindgap:tiny                          shipped with this package
    /some/folder, ~/some/file.pth         on disk
    Goodfire/Llama-3.1-8B-Instruct-SAE-l19          on the Hugging Face hub, file and revision known here
    google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71   Gemma Scope's own files; of Gemma Scope 2, too
    owner/repository/path/in/it[@revision]          on the hub: a SAELens folder, one of Llama Scope's, or one file
    saelens:gemma-scope-2b-pt-res-canonical/layer_20/width_16k/canonical    by its name in SAELens' list

Nothing is downloaded: what is not on this machine is named with the command that fetches it.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.core.errors import UnavailableError, did_you_mean
from mindgap.sae.identity import LLAMA_SCOPE_SETTINGS, LLAMA_SCOPE_WEIGHTS
from mindgap.storage.named import SHIPPED

if TYPE_CHECKING:
    from mindgap.sae.sae import SAE

LISTED = "saelens:"
FORMS = "mindgap:NAME, a file or folder, owner/repository/path on the Hugging Face hub, or saelens:RELEASE/SAE"
CONVERTED = (None, "goodfire", "gemma_2", "gemma_3", "llama_scope")
"""How SAELens' list says that a release has to be read (`conversion_func`), where it is read here too."""
WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".npz")
NAMED = ("sae_weights.safetensors", "sae.safetensors", "params.safetensors")
"""Files that are the SAE wherever others lie beside them."""


@dataclass(frozen=True)
class Known:
    """A release on the hub that is one file. revision: the commit that results are reported for."""

    repository: str
    file: str
    revision: str


KNOWN = (
    Known(
        "Goodfire/Llama-3.1-8B-Instruct-SAE-l19",
        "Llama-3.1-8B-Instruct-SAE-l19.pth",
        "f6775a221e47b44233af4bac2c7b65189265519a",
    ),
    Known(
        "Goodfire/Llama-3.3-70B-Instruct-SAE-l50",
        "Llama-3.3-70B-Instruct-SAE-l50.pt",
        "128ee921ecd1b8b3a87d776cbcc357c0855da134",
    ),
)


def load_sae(release: str, cache: Path | None = None) -> SAE:
    """The SAE of a release, its weights mapped from the file. Raises UnavailableError with the words of `sae_lacks`.

    Args:
        cache: Where hashes of files are remembered; None = the user's cache folder.
    """
    path, missing = _find(release)
    if missing:
        raise UnavailableError(f"model.sae={release} cannot be loaded. Missing: {missing}")
    from mindgap.sae.formats import read_sae

    return read_sae(path, cache)


def sae_lacks(release: str) -> list[str]:
    """What is missing on this machine to load `release`, for `Backend.lacks`. Looks for files, reads none."""
    _, missing = _find(release)
    return [missing] if missing else []


def _find(release: str) -> tuple[Path, str]:
    """The file with the weights, and what is missing: empty if the file is there."""
    if release.startswith(SHIPPED):
        return _find_shipped(release.removeprefix(SHIPPED))
    if release.startswith(LISTED):
        place, missing = _listed(release.removeprefix(LISTED))
        return (Path(release), missing) if missing else _find_on_hub(place)
    path = Path(release).expanduser()
    if path.is_dir():
        return _find_in_folder(path)
    if path.is_file() or release.startswith(("/", ".", "~")):
        return path, "" if path.is_file() else f"the SAE: there is no file or folder {path}"
    return _find_on_hub(release)


def _find_shipped(name: str) -> tuple[Path, str]:
    folder = Path(str(files("mindgap").joinpath("data/sae")))
    shipped = sorted(path.parent.name for path in folder.glob("*/sae.safetensors"))
    missing = f"an SAE that is shipped as {SHIPPED}{name}; there is {', '.join(shipped) or 'none'}"
    return folder / name / "sae.safetensors", "" if name in shipped else missing


def _find_in_folder(folder: Path) -> tuple[Path, str]:
    if (folder / LLAMA_SCOPE_SETTINGS).is_file():
        folder = (folder / LLAMA_SCOPE_WEIGHTS).parent
    weights = sorted(path for path in folder.glob("*") if path.suffix in WEIGHTS_SUFFIXES and path.is_file())
    named = [path for path in weights if path.name in NAMED]
    if len(chosen := named or weights) == 1:
        return chosen[0], ""
    names = ", ".join(path.name for path in weights) or "no file ending in .safetensors, .pth, .pt or .npz"
    return folder, f"one SAE in {folder}: it holds {names}. Name the file itself"


def _listed(name: str) -> tuple[str, str]:
    """Where a name of SAELens' list lies on the hub, and what is missing: empty if the name is known."""
    if not (listed := _saelens_list()):
        return "", f"SAELens, whose list says where {name} lies: pip install --no-deps sae-lens"
    release, _, wanted = name.partition("/")
    if release not in listed:
        return "", f"an SAE release that SAELens calls {release}. {_near(release, listed)}"
    if (how := listed[release].get("conversion_func")) not in CONVERTED:
        return "", f"a way to read {release}, which SAELens converts ({how}): load it there and save it (save_model)"
    paths = {str(sae["id"]): str(sae["path"]) for sae in listed[release]["saes"]}
    if wanted not in paths:
        return "", f"an SAE of {release} that SAELens calls {wanted or 'nothing'}. {_near(wanted, paths)}"
    return f"{listed[release]['repo_id']}/{paths[wanted]}", ""


def _near(name: str, known: Mapping[str, object]) -> str:
    return did_you_mean(name, known, [*list(known)[:12], "…"])


@cache
def _saelens_list() -> dict[str, Any]:
    """Releases by name, from the installed package, which is not imported: that takes thirteen others. {} without."""
    import yaml

    found = importlib.util.find_spec("sae_lens")
    if found is None or not found.submodule_search_locations:
        return {}
    file = Path(found.submodule_search_locations[0]) / "pretrained_saes.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load(file.read_text(encoding="utf-8"), loader)) if file.is_file() else {}


def _find_on_hub(release: str) -> tuple[Path, str]:
    from huggingface_hub import try_to_load_from_cache

    place, _, revision = release.partition("@")
    owner, name, *inner = [*place.split("/"), "", ""]
    if not owner or not name:
        return Path(release), f"an SAE that is called {release}: give {FORMS}"
    repository, path = f"{owner}/{name}", "/".join(inner).strip("/")
    known = next((known for known in KNOWN if known.repository == repository and path in ("", known.file)), None)
    if known:
        path, revision = known.file, revision or known.revision
    wanted = _wanted(repository, path)
    cached = [try_to_load_from_cache(repository, file, revision=revision or None) for file in wanted]
    if all(isinstance(file, str) for file in cached):
        return Path(str(cached[0])), ""
    at = ["--revision", revision] if revision else []
    return Path(release), f"the SAE's weights: {shlex.join(['hf', 'download', repository, *wanted, *at])}"


def _wanted(repository: str, path: str) -> list[str]:
    """Files of a release on the hub, the weights first; `path` is that of a file or folder in the repository."""
    beside = {"sae_weights.safetensors": ["cfg.json"], "params.safetensors": ["config.json"], "params.npz": []}
    folder, _, name = path.rpartition("/") if path.endswith(WEIGHTS_SUFFIXES) else (path, "", "")
    if not name and repository.startswith("fnlp/Llama3_1-8B-Base-"):
        return [f"{folder}/{file}" for file in (LLAMA_SCOPE_WEIGHTS, LLAMA_SCOPE_SETTINGS)]
    if not name and repository.startswith("google/gemma-scope-2-"):
        name = "params.safetensors"
    elif not name:
        name = "params.npz" if repository.startswith("google/gemma-scope-") else "sae_weights.safetensors"
    prefix = f"{folder}/" if folder else ""
    return [prefix + file for file in (name, *beside.get(name, []))]
