"""`python -m mindgap.vectors`: write a method's vectors to a file, explain a file, search for the best setting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindgap.cli.command import command
from mindgap.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console

HELP = """\
mindgap.vectors: steering vectors as files

usage: python -m mindgap.vectors COMMAND [setting=value ...] [--config-dir DIR]

commands
  export FILE                      write the vectors of a method for a behaviour: .safetensors, .npz, .pt, .gguf, .npy
  show FILE                        what a file holds, by block: norm, sign, unit, relative dose, receipt
  search                           the block and dose that move a behaviour most on pairs held out, within a limit

settings
  query="be funny"                 the behaviour, of export and search
  method=vector                    any method that adds vectors; method.KEY=VALUE too
  model=tiny                       any model of `python -m mindgap --help`; for show: adds the relative dose
  strength=native                  of export: at which strength they are written
  layers=0.2,0.4,0.6               of search: the blocks to try, as depths or numbers (default: five depths)
  damage=1.0                       of search: nats per token that the model may move from itself on unrelated text
  seed=0                           fixes everything random

example
  python -m mindgap.vectors export glad.gguf method=vector query="be glad"
  python -m mindgap.vectors show glad.gguf model=tiny
  python -m mindgap method=saved_vector method.interventions.0.source.path=glad.gguf"""

GROUPS = ("model", "method", "strength", "backend")
DEFAULTS = ("method=vector",)
SETTINGS = ("query", "layers", "damage", "seed")
WIDE = 200
"""Columns where nobody's terminal says how many there are."""


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 cannot be done as asked, 130 interrupted."""
    return command(arguments, _run, text=HELP)


def _run(arguments: Sequence[str]) -> None:
    from mindgap.cli.arguments import split_arguments
    from mindgap.cli.console import console_for

    typed = [argument for argument in arguments if argument.startswith("method=")]
    words, settings, config = split_arguments([*([] if typed else DEFAULTS), *arguments], SETTINGS, "vectors", GROUPS)
    asked, *rest = words or [""]
    if asked not in COMMANDS:
        raise ConfigError(f"{asked or 'no command'}: there is no such command. {did_you_mean(asked, COMMANDS)}")
    named = any(argument.partition("=")[0] == "model" for argument in arguments)
    console = console_for(width=WIDE)
    COMMANDS[asked](rest, settings, config, console, named)


def _export(
    words: Sequence[str], settings: Mapping[str, str], config: dict[str, Any], console: Console, named: bool
) -> None:
    from mindgap.vectors.export import exported

    path = _file(words, "export")
    receipt = exported(path, _query(settings), config, _seed(settings))
    console.print(f"{path}: {len(receipt['layers'])} vectors; receipt inside and in {path.name}.json")
    for layer in receipt["layers"]:
        console.print(f"  block {layer['block']:3}  norm {layer['norm']:.4g}, relative dose {layer['dose']:.3g}")


def _show(
    words: Sequence[str], settings: Mapping[str, str], config: dict[str, Any], console: Console, named: bool
) -> None:
    from mindgap.vectors.show import shown

    console.print(shown(_file(words, "show"), config if named else None))


def _search(
    words: Sequence[str], settings: Mapping[str, str], config: dict[str, Any], console: Console, named: bool
) -> None:
    from mindgap.vectors.search import searched

    if words:
        raise ConfigError(f"search takes no {words[0]!r}; the behaviour is query={words[0]!r}")
    limit = _number(settings.get("damage", "1.0"), "damage")
    console.print(searched(_query(settings), config, _seed(settings), settings.get("layers"), limit))


COMMANDS: dict[str, Callable[[Sequence[str], Mapping[str, str], dict[str, Any], Console, bool], None]] = {
    "export": _export,
    "show": _show,
    "search": _search,
}


def _file(words: Sequence[str], name: str) -> Path:
    if len(words) != 1:
        raise ConfigError(f"{name} needs one file, for example {name} glad.gguf")
    return Path(words[0]).expanduser()


def _query(settings: Mapping[str, str]) -> str:
    if not settings.get("query", "").strip():
        raise ConfigError('query is missing: say which behaviour, for example query="be glad"')
    return settings["query"]


def _seed(settings: Mapping[str, str]) -> int:
    text = settings.get("seed", "0")
    if not text.isdecimal():
        raise ConfigError(f"seed={text!r} is not a whole number of 0 or more")
    return int(text)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not value > 0:
        raise ConfigError(f"{name}={text!r} is not a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
