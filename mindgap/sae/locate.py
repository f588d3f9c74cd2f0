"""Where the catalogue of a model's SAE lies."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from mindgap.core.errors import UnavailableError
from mindgap.core.model import ModelSpec
from mindgap.sae.catalogue import FILE, Catalogue, load
from mindgap.sae.releases import load_sae
from mindgap.storage.named import SHIPPED

OWN = "sae.safetensors"
"""Name of the file that `mindgap.training.train` writes."""


def catalogue_of(model: ModelSpec) -> Catalogue:
    """The catalogue of the model's SAE. Raises UnavailableError, with the command that makes it, if there is none."""
    release = release_of(model)
    sae = load_sae(release).identity
    path = catalogue_path(release, sae)
    command = f"python -m mindgap.training.describe model={model.name} model.sae={release} texts=FILE.jsonl"
    if not path.is_file():
        raise UnavailableError(f"the features of {release} have not been described yet. Do it with\n  {command}")
    catalogue = load(path)
    if catalogue.sae != sae:
        raise UnavailableError(
            f"{path} describes {catalogue.sae}, and the SAE there is {sae}. Describe that one with\n  {command}"
        )
    return catalogue


def release_of(model: ModelSpec) -> str:
    """The model's SAE release. Raises UnavailableError if it has none."""
    if model.sae is None:
        raise UnavailableError(
            f"model={model.name} has no SAE. Name one with model.sae=RELEASE (or `sae:` in its YAML), or train "
            f"one with python -m mindgap.training.train model={model.name}"
        )
    return model.sae


def catalogue_path(release: str, sae: str) -> Path:
    """Where the catalogue of the SAE of identity `sae` lies: beside it if we trained it, else in the user's cache."""
    from mindgap.storage.cache import cache_folder

    place = Path(release).expanduser()
    if release.startswith(SHIPPED):
        place = Path(str(files("mindgap").joinpath("data", "sae", release.removeprefix(SHIPPED))))
    folder = place.parent if place.is_file() else place
    if (folder / OWN).is_file() and (place.is_dir() or place.name == OWN):
        return folder / FILE
    return cache_folder() / "sae" / sae.replace("/", "--").replace("@", "-") / FILE
