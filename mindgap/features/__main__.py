"""`python -m mindgap.features`: look at the features of a model's SAE, search them, let Auto Steer choose some."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindgap.cli.command import command
from mindgap.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console

    from mindgap.core.model import ModelSpec

HELP = """\
mindgap.features: look at the features of a model's sparse autoencoder

usage: python -m mindgap.features COMMAND [setting=value ...] [--config-dir DIR]

commands
  search "humor"           features near in meaning to a text
  show 1234 [1235 ...]     everything that is known of a feature: label, contexts, promoted tokens, manners
  list                     many features, a line each
  autosteer "be funny"     the edits that Auto Steer chooses, and what speaks for them

settings
  model=tiny               any model of `python -m mindgap --help` that has an SAE; model.KEY=VALUE too
  count=10                 how many features `search` and `list` show
  sort=density             of `list`: density, scale, rarest, label or index

example
  python -m mindgap.features search "jokes and laughter" model=tiny count=5"""

SORTS = ("density", "scale", "rarest", "label", "index")
WIDE = 200
"""Columns where nobody's terminal says how many there are."""


@dataclass(frozen=True)
class Settings:
    """What the command line sets beside the model."""

    count: int = 10
    sort: str = "density"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count must be at least 1, not {self.count}")
        if self.sort not in SORTS:
            raise ConfigError(f"sort={self.sort}: {did_you_mean(self.sort, SORTS)}")


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 cannot be done as asked, 130 interrupted."""
    return command(arguments, _run, text=HELP)


def _run(arguments: Sequence[str]) -> None:
    from mindgap.cli.arguments import read_arguments
    from mindgap.cli.console import console_for

    words, plain, model = read_arguments(arguments, tuple(Settings.__dataclass_fields__), "features")
    settings = Settings(count=_whole(plain.get("count", "10"), "count"), sort=plain.get("sort", "density"))
    asked, *rest = words or [""]
    if asked not in COMMANDS:
        raise ConfigError(f"{asked or 'no command'}: there is no such command. {did_you_mean(asked, COMMANDS)}")
    console = console_for(width=WIDE)
    COMMANDS[asked](rest, model, settings, console)


def _search(words: Sequence[str], model: ModelSpec, settings: Settings, console: Console) -> None:
    from mindgap.features.show import print_features
    from mindgap.sae.locate import catalogue_of
    from mindgap.sae.search import search

    text = _text(words, "search")
    catalogue = catalogue_of(model)
    nearest = search(catalogue, text, settings.count)
    if not nearest:
        raise ConfigError(f"no feature's label or contexts have to do with {text!r}: try other words")
    print_features(console, catalogue, [index for index, _ in nearest], scores=[score for _, score in nearest])


def _show(words: Sequence[str], model: ModelSpec, settings: Settings, console: Console) -> None:
    from mindgap.features.show import print_feature
    from mindgap.sae.locate import catalogue_of

    indices = [_whole(word, "show") for word in words]
    if not indices:
        raise ConfigError("show needs the number of a feature, for example show 12; find some with search or list")
    catalogue = catalogue_of(model)
    if (largest := max(indices)) >= catalogue.features:
        raise ConfigError(f"there is no feature {largest}: this SAE has 0 to {catalogue.features - 1}")
    for index in indices:
        print_feature(console, catalogue.feature(index))


def _list(words: Sequence[str], model: ModelSpec, settings: Settings, console: Console) -> None:
    import numpy as np

    from mindgap.features.show import print_features, print_overview
    from mindgap.sae.locate import catalogue_of

    if words:
        raise ConfigError(f"list takes no {words[0]!r}; to look for something: search {words[0]!r}")
    catalogue = catalogue_of(model)
    live = np.flatnonzero(catalogue.live)
    keys = {
        "density": -catalogue.density[live],
        "rarest": catalogue.density[live],
        "scale": -catalogue.scale[live],
        "label": np.array([catalogue.labels[index].casefold() for index in live]),
        "index": live,
    }
    order = live[np.argsort(keys[settings.sort], kind="stable")]
    print_overview(console, catalogue)
    print_features(console, catalogue, order[: settings.count].tolist())


def _autosteer(words: Sequence[str], model: ModelSpec, settings: Settings, console: Console) -> None:
    from mindgap.features.steer import autosteer_report

    console.print(autosteer_report(_text(words, "autosteer"), model))


COMMANDS: dict[str, Callable[[Sequence[str], ModelSpec, Settings, Console], None]] = {
    "search": _search,
    "show": _show,
    "list": _list,
    "autosteer": _autosteer,
}


def _text(words: Sequence[str], command: str) -> str:
    text = " ".join(words).strip()
    if not text:
        raise ConfigError(f'{command} needs a text, for example {command} "be funny"')
    return text


def _whole(text: str, what: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{what}: {text!r} is not a whole number of 0 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
