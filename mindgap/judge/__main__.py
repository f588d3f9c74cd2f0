"""`python -m mindgap.judge outputs/<sweep> judge=NAME`: asks other judges about what a sweep has recorded."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindgap.cli.command import command
from mindgap.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindgap.judges.base import Judge

HELP = """\
mindgap.judge: have a finished sweep's responses judged again, by others, and see whether the judges agree

usage: python -m mindgap.judge FOLDER [judge=NAME[,NAME…]] [setting=value ...]

  FOLDER                   the sweep's folder, outputs/<sweep>; nothing in it is generated again or changed
  judge=NAME               a judge: {judges};
                           several with commas; none = only show what is there

settings
  judge.KEY=VALUE          change a key of the judge, for example judge.model=gpt-4.1; with one judge at a time
  --config-dir DIR         look for YAML files of your own in DIR as well (also config_dir=DIR)
  store=FILE               where judgements are kept; default: store.sqlite beside FOLDER, that of the sweep

writes FOLDER/<cell>/judgements/<judge>.parquet and FOLDER/disagreements.csv; reports show all judges that are there

example
  python -m mindgap.judge outputs/study judge=llm,proxy
  python -m mindgap.report outputs/study"""

SETTINGS = ("judge", "config_dir", "store")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 some judgements could not be had and are asked for again next time, 2 cannot run,
    130 interrupted.
    """
    from mindgap.core.compose import config_folder

    conf = config_folder()
    judges = ", ".join(sorted(path.stem for path in (conf / "judge").glob("*.yaml")))
    return command(
        arguments,
        lambda words: _run(words, conf),
        text=HELP.replace("{judges}", judges),
        stopped="stopped. What is judged is kept: the same command goes on from here.",
    )


def _run(arguments: Sequence[str], conf: Path) -> int:
    folder, settings = _read(arguments)
    os.environ.setdefault("MINDGAP_SWEEP", "judge")

    from mindgap.cli.console import console_for
    from mindgap.judge.again import judge_again
    from mindgap.judge.summary import print_agreement
    from mindgap.results.sweep import read_sweep
    from mindgap.storage.store import Store

    sweep = read_sweep(folder)
    judges = _judges(settings, conf)
    console = console_for()
    unreached = 0
    if judges:
        store = Store(Path(settings.get("store", folder.resolve().parent / "store.sqlite")))
        try:
            unreached = sum(judge_again(sweep, judge, store, console) for judge in judges)
        finally:
            store.close()
    print_agreement(console, sweep)
    return 1 if unreached else 0


def _read(arguments: Sequence[str]) -> tuple[Path, dict[str, str]]:
    arguments = _with_config_dir(arguments)
    paths = [argument for argument in arguments if "=" not in argument]
    settings = {key: value for key, _, value in (argument.partition("=") for argument in arguments if "=" in argument)}
    for key in settings:
        head, dot, _ = key.partition(".")
        if head not in SETTINGS or (dot and head != "judge"):
            raise ConfigError(f"{key}: there is no such setting. {did_you_mean(head, SETTINGS)}")
    if len(paths) != 1:
        raise ConfigError(
            f"give one folder of a sweep, not {' '.join(paths) or 'nothing'}; see python -m mindgap.judge --help"
        )
    return Path(paths[0]), settings


def _with_config_dir(arguments: Sequence[str]) -> list[str]:
    """`--config-dir DIR` as the setting that it is, so that it is given here as everywhere."""
    given = list(arguments)
    for flag in ("--config-dir", "-cd"):
        if flag in given[:-1]:
            place = given.index(flag)
            given[place : place + 2] = [f"config_dir={given[place + 1]}"]
    return [argument.replace("--config-dir=", "config_dir=", 1) for argument in given]


def _judges(settings: dict[str, str], conf: Path) -> list[Judge]:
    """Every judge asked for, built and found fit to judge, before the first of them spends anything."""
    from mindgap.judges.named import judge_from

    names = [name.strip() for name in settings.get("judge", "").split(",") if name.strip()]
    changes = [f"{key}={value}" for key, value in settings.items() if key.startswith("judge.")]
    if changes and len(names) != 1:
        raise ConfigError(f"{changes[0]} is a setting of one judge: ask one judge at a time, judge=NAME {changes[0]}")
    search = []
    if config_dir := settings.get("config_dir"):
        if not Path(config_dir).is_dir():
            raise ConfigError(f"config_dir={config_dir}: there is no such folder")
        search = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"]
    return [judge_from([f"judge={name}", *changes, *search], conf) for name in dict.fromkeys(names)]


if __name__ == "__main__":
    sys.exit(main())
