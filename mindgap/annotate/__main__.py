"""`python -m mindgap.annotate outputs/<sweep>`: people rate a sweep's responses in a page on this machine."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mindgap.cli.command import command

HELP = """\
mindgap.annotate: rate a sweep's responses yourself, and anchor its results in what people say

usage: python -m mindgap.annotate outputs/<sweep> [setting=value ...]    opens a page for one person
       python -m mindgap.annotate outputs/<sweep> --summary              what the ratings say

Responses are drawn by chance, evenly over queries, all cells alike, and shown without a word on where they come from.
Every key is saved at once in ratings.jsonl in the sweep's folder; the same command goes on where it was left.
Several people may rate at the same time, each with a command of their own.

settings
  rater=NAME     who rates; default: your user name
  samples=100    about how many responses this person rates; raise it later for more
  overlap=0.3    share of them that everybody rates, so that people can be compared; fixed by the first to come
  seed=0         of the draw and of everybody's order; fixed by the first to come
  port=0         of the page, on 127.0.0.1; 0 takes a free one

--summary prints how judges agree with people, and each cell's mean and difference from the reference by people alone,
by each judge alone, and by the judge corrected by people; also in anchored.json and anchored.md. The report shows it
too when it is written anew (python -m mindgap.report)."""

SETTINGS = ("rater", "samples", "overlap", "seed", "port")
FLAGS = ("--summary",)
WIDE = 160
"""Columns for tables where nobody's terminal says how many there are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 not a sweep or a wrong setting."""
    return command(arguments, _run, text=HELP)


def _run(words: Sequence[str]) -> None:
    folder, settings = _parsed(words)
    if "--summary" in words:
        summarise(folder)
    else:
        _annotate(folder, settings)


def summarise(folder: Path) -> None:
    """Print the tables of a rated sweep and write `anchored.json` and `anchored.md` to its folder."""
    from mindgap.analysis.people import anchor_sweep
    from mindgap.cli.console import console_for
    from mindgap.core.errors import MindgapError
    from mindgap.presentation.people_tables import print_people_tables
    from mindgap.report.write import write_anchored
    from mindgap.results.rating_plan import read_plan
    from mindgap.results.sweep import read_sweep

    sweep = read_sweep(folder)
    plan, groups = read_plan(sweep.folder), anchor_sweep(sweep)
    if plan is None or not groups:
        raise MindgapError(
            f"nobody has rated {folder} yet; python -m mindgap.annotate {folder} opens the page to do so"
        )
    console = console_for(width=WIDE)
    for group in groups:
        if len(groups) > 1:
            console.print(group.group.title, style="bold", markup=False)
        print_people_tables(console, group)
    for path in write_anchored(sweep, plan, groups):
        _say(str(path))


def _annotate(folder: Path, settings: Mapping[str, str]) -> None:
    from mindgap.annotate.server import AnnotationServer
    from mindgap.core.errors import MindgapError
    from mindgap.results.cards import cards_of
    from mindgap.results.rating_plan import planned
    from mindgap.results.sweep import read_sweep

    rater = _rater(settings.get("rater", getpass.getuser()))
    samples, port = _whole(settings, "samples", 100, 1), _whole(settings, "port", 0, 0)
    seed = _whole(settings, "seed", 0, 0) if "seed" in settings else None
    sweep = read_sweep(folder)
    cards = cards_of(sweep)
    if not cards.by_record:
        raise MindgapError(f"{folder} has no response with text in it: there is nothing to rate")
    plan = planned(sweep.folder, rater, cards, samples=samples, seed=seed, overlap=_share(settings, "overlap"))
    with AnnotationServer(sweep.folder, rater, plan.deck(rater, cards), cards.samples, port) as server:
        _say(f"{rater}: {len(server.deck)} responses. Open this address in a browser on this machine; Ctrl+C ends it:")
        _say(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            _say(f"\nEvery rating is in {sweep.folder / 'ratings.jsonl'}; the same command goes on from here.")


def _parsed(words: Sequence[str]) -> tuple[Path, dict[str, str]]:
    from mindgap.core.errors import ConfigError, did_you_mean

    valid = (*SETTINGS, *FLAGS)
    folders = [word for word in words if "=" not in word and not word.startswith("-")]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    for name in [*settings, *(word for word in words if word.startswith("-") and "=" not in word)]:
        if name not in valid:
            raise ConfigError(f"{name}: there is no such setting. {did_you_mean(name, valid)}")
    if len(folders) != 1:
        raise ConfigError(f"give one sweep's folder, outputs/<sweep>, not {' '.join(folders) or 'none'}")
    return Path(folders[0]), settings


def _rater(name: str) -> str:
    from mindgap.core.errors import ConfigError

    if not name.strip() or len(name) > 60 or not name.isprintable():
        raise ConfigError(f"rater={name!r}: give a name of 1 to 60 letters, for example rater=anna")
    return name.strip()


def _whole(settings: Mapping[str, str], key: str, default: int, least: int) -> int:
    from mindgap.core.errors import ConfigError

    text = settings.get(key, str(default))
    if not text.isdecimal() or int(text) < least or (key == "port" and int(text) > 65535):
        most = " and at most 65535" if key == "port" else ""
        raise ConfigError(f"{key}={text}: must be a whole number of at least {least}{most}")
    return int(text)


def _share(settings: Mapping[str, str], key: str) -> float | None:
    from mindgap.core.errors import ConfigError

    if key not in settings:
        return None
    try:
        value = float(settings[key])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"{key}={settings[key]}: must be a number from 0 to 1")
    return value


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
