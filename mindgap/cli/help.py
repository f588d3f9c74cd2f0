"""The `--help` page. Imports nothing heavy: it is on screen before Hydra would have loaded."""

from __future__ import annotations

import textwrap
from pathlib import Path

GROUPS = {
    "model": "which model",
    "method": "how the behaviour is asked for",
    "strength": "how hard a method steers",
    "query_set": "which behaviours",
    "task": "which questions",
    "judge": "who scores behaviour and coherence",
    "measures": "what is measured on each sample; several in brackets",
    "backend": "where text comes from",
    "tracker": "where results are logged beside the files",
    "experiment": "a whole study in one file",
}

SETTINGS = {
    "seed=0": "fixes everything random",
    "epochs=1": "generations per query and item",
    "task.limit=20": "fewer items",
    "decoding.temperature=0": "greedy decoding",
    "strength.dose=0.3": "with strength=dose: how hard",
    "sweep=NAME": "name of the folder in outputs/",
}

EXAMPLES = {
    "python -m mindgap": "one cell with the defaults",
    "python -m mindgap method=control,prompt,autosteer,combined,random_features -m": "compare methods",
    "python -m mindgap method=vector strength=dose strength.dose=0.1,0.3,0.6 -m": "sweep a strength",
    "python -m mindgap method=control,vector method.vector.depth=0.3,0.5 -m": "sweep a setting that only one has",
    "python -m mindgap ls methods": "what there is, a line each: models, tasks, judges, measures ...",
    "python -m mindgap experiment=demo": "a whole study in one YAML",
    "python -m mindgap --config-dir my_conf method=shout": "a method of your own: my_conf/method/shout.yaml",
}

COMMANDS = {
    "mindgap.report": "reports of a finished sweep, or of several",
    "mindgap.view": "a sweep's page while it runs, and the list of sweeps",
    "mindgap.features": "look at SAE features: search, show, list, autosteer",
    "mindgap.judge": "another judge's scores of a finished sweep, and how far judges agree",
    "mindgap.vectors": "steering vectors as files: export, show; search a block and a dose",
    "mindgap.annotate": "rate a sweep's responses yourself, and correct the judges by it",
    "mindgap.replay": "import results recorded elsewhere",
    "mindgap.training.train": "train a sparse autoencoder for a local model",
    "mindgap.training.describe": "describe and label an SAE's features",
    "mindgap.ember": "serve a model with Goodfire's API",
}


FLAGS = {
    "-m, --multirun": "run every combination of comma-separated values",
    "--config-dir DIR": "look for YAML files of your own in DIR as well",
    "--verbose": "show every setting, not only what differs from the defaults",
    "--cfg job": "print the composed configuration and stop",
    "--version": "print the version and stop",
}


def page(conf: Path, *own: Path) -> str:
    """The help text.

    Args:
        conf: The configuration, whose YAML files are the options of each group.
        own: Folders of the user's, whose files are options too.
    """
    lines = ["mindgap: what does a steered behaviour cost in coherence and capability?", ""]
    lines += [
        "usage: python -m mindgap [group=option ...] [setting=value ...] [-m] [--config-dir DIR]",
        "       python -m mindgap ls [group ...] [--config-dir DIR]",
        "",
    ]
    lines += ["groups (several options with commas and -m make a sweep)"]
    for group, what in GROUPS.items():
        options = sorted({path.stem for folder in (conf, *own) for path in (folder / group).glob("*.yaml")})
        lines += [f"  {group:11} {what}"]
        lines += textwrap.wrap(", ".join(options) or "-", 88, initial_indent=" " * 14, subsequent_indent=" " * 14)
    lines += ["", "settings (every key of every YAML can be set; these are used most)"]
    lines += [f"  {setting:24} {what}" for setting, what in SETTINGS.items()]
    lines += ["", "flags", *(f"  {flag:24} {what}" for flag, what in FLAGS.items())]
    lines += ["", "examples"]
    for command, what in EXAMPLES.items():
        lines += [f"  {command}", f"      {what}"]
    lines += ["", "other commands, each with --help"]
    lines += [f"  python -m {name:20} {what}" for name, what in COMMANDS.items()]
    return "\n".join(lines)
