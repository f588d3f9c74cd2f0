"""`python -m mindgap.training.describe model=NAME texts=FILE`: what the features of a model's SAE are, with labels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.cli.command import command
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.training.progress import progress_bar

if TYPE_CHECKING:
    from mindgap.backends.local.engine import Engine
    from mindgap.sae.catalogue import Catalogue
    from mindgap.sae.labels import Labeller
    from mindgap.sae.sae import SAE
    from mindgap.training.corpus import Text

HELP = """\
mindgap.training.describe: describe and label the features of a model's sparse autoencoder

usage: python -m mindgap.training.describe model=NAME texts=FILE[,FILE] [setting=value ...] [--config-dir DIR]

settings
  model=tiny               any model that has an SAE and that backend=local can run; model.KEY=VALUE too
  texts=a.jsonl,b.txt      what the model reads: JSON lines ({"text": …, "messages": […]}) or paragraphs. Replies that
                           the model wrote under many system prompts show which manners a feature goes with.
                           Without texts, a catalogue that is there is labelled anew
  labels=FILE              labels of Neuronpedia in the place of ours: its explanations of this SAE, as JSON lines or a
                           list, gzipped or not, or a folder of such files
  labeller=none            a model that litellm knows, to put labels into words; none = by word statistics
  labeller_base=URL        address of an OpenAI-compatible server for it; labeller_key=OPENAI_API_KEY names the
                           variable that holds its key, or none
  backend.device=auto      as in `python -m mindgap`

The catalogue lies beside an SAE that `mindgap.training.train` made, else in the user's cache folder. To look at it:
  python -m mindgap.features list model=NAME"""

SETTINGS = ("texts", "labels", "labeller", "labeller_base", "labeller_key")


def describe(engine: Engine, sae: SAE, texts: Sequence[Text], on_done: Callable[[int], None]) -> Catalogue:
    """Catalogue of the features of `sae`, labelled by word statistics. `on_done` is told how many tokens are read."""
    from mindgap.sae.labels import labelled
    from mindgap.training.survey import survey

    return labelled(survey(engine, sae, texts, on_done))


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 cannot be done as asked, 130 interrupted."""
    return command(arguments, _run, text=HELP, stopped="stopped. Labels of an LLM that were saved are kept.")


def _run(arguments: Sequence[str]) -> None:
    from mindgap.cli.arguments import model_of, split_arguments
    from mindgap.core.build import build
    from mindgap.sae.locate import catalogue_of, catalogue_path, release_of
    from mindgap.sae.neuronpedia import neuronpedia_labels, with_neuronpedia

    words, plain, config = split_arguments(arguments, SETTINGS, "training.describe")
    if words:
        raise ConfigError(
            f"{words[0]}: settings are written as name=value; see python -m mindgap.training.describe --help"
        )
    model = model_of(config)
    release = release_of(model)
    labeller = _labeller(plain)
    labels = neuronpedia_labels(Path(plain["labels"]).expanduser()) if "labels" in plain else None
    if "texts" in plain:
        files = [Path(name).expanduser() for name in plain["texts"].split(",") if name]
        if missing := [str(file) for file in files if not file.is_file()]:
            raise ConfigError(f"texts: there is no file {missing[0]}")
        backend = build(config["backend"], "backend")
        if lacks := backend.lacks(model, frozenset({"residual", "features"})):
            raise UnavailableError(f"model={model.name} cannot be read on backend={backend.name}: {'; '.join(lacks)}")
        from mindgap.training.corpus import read_texts

        texts = [text for file in files for text in read_texts(file)]
        if not texts:
            raise ConfigError(f"texts={plain['texts']}: there is no text in it")
        endpoint = backend.open(model)
        with progress_bar("describing features: tokens read") as advance:
            catalogue = describe(endpoint.engine, endpoint.sae, texts, advance)
    else:
        catalogue = catalogue_of(model)
    path = catalogue_path(release, catalogue.sae)
    if labels is not None:
        catalogue = with_neuronpedia(catalogue, labels)
    catalogue.save(path)
    if labeller is not None:
        catalogue = _label(catalogue, labeller, path)
    finish(catalogue).save(path)
    sys.stdout.write(f"{int(catalogue.live.sum())} of {catalogue.features} features described: {path}\n")


def finish(catalogue: Catalogue) -> Catalogue:
    """`catalogue` with sentence embeddings of its labels, where the embedding model is installed, to search by."""
    from mindgap.sae.search import documents
    from mindgap.text.embedding import embedder, embedder_lacks

    if embedder_lacks():
        return catalogue
    return catalogue.with_embeddings(embedder().embed(documents(catalogue)), embedder().identity)


def _labeller(plain: dict[str, str]) -> Labeller | None:
    from mindgap.sae.labels import Labeller

    if plain.get("labeller", "none") == "none":
        return None
    key = plain.get("labeller_key", "OPENAI_API_KEY")
    labeller = Labeller(plain["labeller"], plain.get("labeller_base"), None if key == "none" else key)
    if lacks := labeller.api.lacks("labeller"):
        raise UnavailableError(f"labeller={labeller.model} lacks {'; '.join(lacks)}")
    return labeller


def _label(catalogue: Catalogue, labeller: Labeller, path: Path) -> Catalogue:
    with progress_bar("asking for labels") as advance:

        def on_done(done: int, so_far: Catalogue | None) -> None:
            advance(done)
            if so_far is not None:
                so_far.save(path)

        relabelled = labeller.relabelled(catalogue, on_done)
    relabelled.save(path)
    left = sum(name != labeller.api.identity for name in relabelled.table["labeller"].to_pylist())
    left -= int((~relabelled.live).sum())
    if left:
        sys.stderr.write(
            f"{left} features keep the label they had: {labeller.model} gave none. Run the command again\n"
        )
    return relabelled


if __name__ == "__main__":
    sys.exit(main())
