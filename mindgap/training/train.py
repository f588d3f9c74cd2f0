"""`python -m mindgap.training.train model=tiny layer=11 out=outputs/sae/tiny`: an SAE for a local model, from nothing.

Five stages, each of which a killed run takes up where it was: the model writes texts; their residual streams are
kept; the SAE is fitted; it is measured on held-out text; its features are described and labelled.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mindgap.cli.command import command
from mindgap.core.errors import ConfigError, UnavailableError
from mindgap.training.progress import progress_bar
from mindgap.training.settings import TrainSettings

HELP = """\
mindgap.training.train: train a sparse autoencoder on the residual stream of a local model

usage: python -m mindgap.training.train [setting=value ...]

settings
  model=tiny               any model of `python -m mindgap --help` that backend=local can run; model.KEY=VALUE too
  layer=11                 block whose output is read; benchmarks/layers.py measures which one steers best
  out=outputs/sae/tiny     where everything goes; the same command goes on from what lies there
  texts=1900               replies that the model writes under many system and user prompts
  max_tokens=72            longest reply, in tokens
  data=a.jsonl,b.txt       more text: JSON lines ({"text": …, "messages": […]}) or paragraphs; default none
  features=4096 k=32       how many features, and how many of them are active at a token on average
  epochs=6 batch=2048 learning_rate=8e-4 check_every=200 seed=0
  held_out=0.05            share of texts kept for measuring
  backend.device=auto      as in `python -m mindgap`

writes into out
  texts.jsonl  activations.npy  checkpoint.safetensors     the stages, to go on from
  sae.safetensors  catalogue.parquet  README.md            the SAE, what its features are, its card

Put `sae: OUT/sae.safetensors` into the model's YAML (or model.sae=… on the command line) to steer with it."""


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 cannot be done as asked, 130 interrupted."""
    kept = "stopped. What is done is kept: the same command goes on from here."
    return command(arguments, _run, text=HELP, stopped=kept, bare=True)


def _run(arguments: Sequence[str]) -> None:
    import yaml

    from mindgap.cli.arguments import model_of, split_arguments
    from mindgap.core.build import build

    words, plain, config = split_arguments(arguments, TrainSettings.names(), "training.train")
    if words:
        raise ConfigError(
            f"{words[0]}: settings are written as name=value; see python -m mindgap.training.train --help"
        )
    typed = {key: value if key in ("data", "out") else yaml.safe_load(value) for key, value in plain.items()}
    settings = TrainSettings.of(typed)
    model, backend = model_of(config), build(config["backend"], "backend")
    if missing := backend.lacks(model, frozenset({"residual"})):
        raise UnavailableError(f"model={model.name} cannot be read on backend={backend.name}: lacks {missing[0]}")
    train(backend.open(model), settings)


def train(endpoint: Any, settings: TrainSettings) -> None:
    """All stages for an open local endpoint. Prints what came out; see `HELP` for the files."""
    from mindgap.sae import native_format
    from mindgap.training.activations import harvest
    from mindgap.training.card import card
    from mindgap.training.corpus import read_texts, split, write_texts
    from mindgap.training.describe import describe, finish
    from mindgap.training.fit import Fit
    from mindgap.training.quality import measure

    engine = endpoint.engine
    if not 0 <= settings.layer < engine.layers:
        raise ConfigError(f"layer={settings.layer}: the model has blocks 0 to {engine.layers - 1}")
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    own = out / "texts.jsonl"
    with progress_bar("writing texts", settings.texts) as advance:
        written = write_texts(
            endpoint, own, count=settings.texts, max_tokens=settings.max_tokens, seed=settings.fit.seed, on_done=advance
        )
    from_files = {file: read_texts(file) for file in settings.files}
    training, held = split([*written, *(text for texts in from_files.values() for text in texts)], settings.held_out)
    with progress_bar("reading residual streams", None) as advance:
        streams = harvest(engine, training, settings.layer, out / "activations.npy", advance, model=endpoint.identity)
        held_streams = harvest(engine, held, settings.layer, out / "held_out.npy", advance, model=endpoint.identity)

    fit = Fit(streams, settings.fit, engine.device)
    checkpoint = out / "checkpoint.safetensors"
    fit.restore(checkpoint)
    with progress_bar("fitting", fit.steps) as advance:
        fit.run(lambda step, unexplained: advance(step, f"variance explained {1 - unexplained:.3f}"), checkpoint)
    name = f"{endpoint.identity.partition('/')[2].partition('@')[0]}-block{settings.layer}-{settings.fit.features}"
    sae = fit.sae(name, settings.layer)
    with progress_bar("measuring", None):
        quality = measure(engine, sae, streams, held_streams, held)
    with progress_bar("describing features", None) as advance:
        catalogue = describe(engine, sae, written or training, advance)
    file = out / "sae.safetensors"
    native_format.save(catalogue.with_scales(sae), file)
    finish(catalogue.of(native_format.load(file).identity)).save(out / "catalogue.parquet")
    corpus = {"written by the model": len(written), **{file.name: len(texts) for file, texts in from_files.items()}}
    (out / "quality.json").write_text(json.dumps(asdict(quality), indent=1), encoding="utf-8")
    described = card(name, endpoint.identity, settings, quality, corpus, tokens=len(streams))
    (out / "README.md").write_text(described, encoding="utf-8")
    sys.stdout.write(described)


if __name__ == "__main__":
    sys.exit(main())
